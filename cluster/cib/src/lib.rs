//! The configuration: document model, schema, versions, crm lines.
