//! The one binary `haven`: parse arguments, dispatch, nothing else.

fn main() -> anyhow::Result<()> {
    Ok(())
}
