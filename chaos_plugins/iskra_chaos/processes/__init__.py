"""The life of an operation: from the request through ethics, application and the steps back to calm to its end."""
