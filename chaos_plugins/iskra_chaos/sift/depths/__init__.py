"""The three depths at which a block is analysed, each built on the one before."""
