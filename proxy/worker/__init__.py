"""A worker process: serves associations on the inherited sockets until it is told to drain."""
