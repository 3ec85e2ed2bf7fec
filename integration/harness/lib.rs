//! What the suites share: brokers, bridges, clients, proxies.
