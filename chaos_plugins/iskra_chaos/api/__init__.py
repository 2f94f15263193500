"""The plugin over HTTP and WebSocket."""
