//! What the types forbid does not compile. After a deliberate change:
//! `TRYBUILD=overwrite cargo test --workspace --test outside compile_fail`, and read the difference.

/// What is meant compiles: what fails below fails for its own reason. It is a module here and no case: for one case that is to pass,
/// every dependency would be built a second time, and not only checked.
#[path = "compile_fail/allowed.rs"]
#[allow(dead_code, clippy::unused_self, clippy::unwrap_used, reason = "nobody calls it")]
mod allowed;

#[test]
fn there_is_no_second_way_to_a_backend() {
    let cases = trybuild::TestCases::new();
    for case in [
        "forge_permit",
        "clone_permit",
        "keep_permit",
        "keep_authority",
        "forge_authority",
        "clone_authority",
        "observe_and_change",
        "perform_without_permit",
        "perform_twice",
        "read_and_change",
        "neither",
    ] {
        cases.compile_fail(format!("tests/compile_fail/{case}.rs"));
    }
}
