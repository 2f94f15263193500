"""Resilience experiments: read in the format of the Chaos Toolkit, run against a server, told in a report.

Everything here runs in the client's process. The runner is in ``runner``, the file format in ``files``, the
report in ``reports``; nothing is imported here, since a server does not need it.
"""
