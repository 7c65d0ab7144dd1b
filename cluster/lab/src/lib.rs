//! A cluster in network namespaces: bed, faults and the measuring client.
