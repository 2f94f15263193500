"""The life of an operation: from the request through ethics, application and stabilising to its end."""
