//! What the types forbid does not compile. After a deliberate change:
//! `TRYBUILD=overwrite cargo test -p remit-gate --test compile_fail`, and read the difference.

#[test]
fn there_is_no_second_way_to_a_backend() {
    let cases = trybuild::TestCases::new();
    // The scaffold itself is sound: what fails below fails for its own reason.
    cases.pass("tests/compile_fail/allowed.rs");
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
