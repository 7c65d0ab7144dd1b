//! How the one binary is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    // 31,000 addresses to settle at each start, kept as bits instead of 24 bytes each: 750 KB less to read and hold.
    // The C library does that from 2.36 (Debian 12) on.
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        lay_out();
    }
}

/// Puts the functions of `haven simulate` side by side. Only for the linker that Rust brings along on this processor: others may
/// not know such a script. Builds for development go without.
fn lay_out() {
    println!("cargo::rerun-if-changed=src/layout.ld");
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    let given = |name: &str| std::env::var(name).unwrap_or_default();
    let other = ["-fuse-ld", "linker"].iter().any(|w| given("CARGO_ENCODED_RUSTFLAGS").contains(w));
    let meant = given("PROFILE") == "release" && given("CARGO_CFG_TARGET_ARCH") == "x86_64";
    if meant && given("RUSTC_LINKER").is_empty() && !other {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}/src/layout.ld", given("CARGO_MANIFEST_DIR"));
    }
}
