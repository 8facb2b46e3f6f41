"""The one database, and what is kept in it by the core: events, outbox, leases, keys."""
