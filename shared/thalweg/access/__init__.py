"""Who may do what on NATS: accounts of a workspace, permissions of its services, credentials, and the keys behind them."""
