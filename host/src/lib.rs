//! Every side effect of haven, one module each.
