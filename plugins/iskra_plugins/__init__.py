"""Built-in plugins, one subpackage each; none of them imports another."""
