//! AWS as moto plays it, which checks every signature, and whether a policy allows the action. What is there
//! before and after is asked by AWS's own client.

use std::sync::OnceLock;

use serde_json::{Value, json};

use super::private;
use crate::common::cloud::{Cloud, policy};
use crate::common::{self, World, proxy};

const ANSWER: &str = "answer-leak.wasm";
const SCOPE: &str = "
    [limits]
    changes = 2
    [[allow]]
    capability = 'remit:tokens/inspect'
    resources = ['token:aws/**']
    [[allow]]
    capability = 'remit:tokens/disable'
    resources = ['token:aws/**']
    [[allow]]
    capability = 'remit:tokens/revoke'
    resources = ['token:aws/**']
    irrevocable = true
    [[allow]]
    capability = 'remit-aws:secrets/inspect'
    resources = ['aws-secret:sm/prod/**']
    [[allow]]
    capability = 'remit-aws:secrets/put'
    resources = ['aws-secret:sm/prod/**']
";
/// The value that is put.
const VALUE: &str = "the-new-value-of-the-secret";
/// The name of what gets a value that the host generates.
const GENERATED: &str = "generated";

/// The cloud of all tests here. It ends with its input, and so with the tests.
pub fn cloud() -> &'static Cloud {
    static CLOUD: OnceLock<Cloud> = OnceLock::new();
    CLOUD.get_or_init(Cloud::start)
}

/// A call of AWS's own client.
pub fn aws(service: &str, call: &str, with: Value) -> Value {
    cloud().aws(service, call, with)
}

fn address() -> String {
    cloud().address.clone()
}

/// Whether a key works; none if there is no such key.
fn status(user: &str, id: &str) -> Option<String> {
    let keys = aws("iam", "list_access_keys", json!({ "UserName": user }));
    let mut keys = keys["AccessKeyMetadata"].as_array().unwrap().iter();
    keys.find(|key| key["AccessKeyId"] == id).map(|key| key["Status"].as_str().unwrap().to_owned())
}

/// The value of a secret that is current.
fn value(secret: &str) -> String {
    let found = aws("secretsmanager", "get_secret_value", json!({ "SecretId": secret }));
    found["SecretString"].as_str().unwrap_or_else(|| panic!("{found}")).to_owned()
}

fn put(secret: &str, value: &str) {
    aws("secretsmanager", "put_secret_value", json!({ "SecretId": secret, "SecretString": value }));
}

/// A user of the test with a key that leaked, a secret that has it, and a home whose credential has what the manual says. `path` is
/// that of the key.
struct Case {
    world: World,
    user: String,
    id: String,
    path: String,
    secret: String,
    /// The home's own key.
    own: (String, String),
}

impl Case {
    fn new(name: &str) -> Self {
        Self::behind(name, &address(), &[policy("RemitIamKeys"), policy("RemitSecrets")])
    }

    fn behind(name: &str, origin: &str, policies: &[Value]) -> Self {
        let (user, remit, secret) =
            (format!("ci-{name}"), format!("remit-{name}"), format!("prod/{name}/key"));
        for user in [&user, &remit] {
            aws("iam", "create_user", json!({ "UserName": user }));
        }
        for (number, policy) in policies.iter().enumerate() {
            cloud().allow(&remit, &format!("p{number}"), policy);
        }
        let (own, (id, leaked)) = (cloud().new_key(&remit), cloud().new_key(&user));
        aws("secretsmanager", "create_secret", json!({ "Name": secret, "SecretString": leaked }));
        let world = World::with(&["answer-leak"]);
        private(&world, "home/credential.key", &own.1);
        private(&world, "value", VALUE);
        for (connector, instance, service, more) in
            [("aws-iam", "aws", "iam", ""), ("aws-secrets", "sm", "secretsmanager", "post_reads = true\n")]
        {
            let credential = format!(
                "{more}[connector.credential]\naws = {{ region = \"us-east-1\", service = \"{service}\", \
                 access_key_id = \"{}\", secret_key_file = \"credential.key\" }}",
                own.0
            );
            world.connect(connector, instance, origin, &credential);
        }
        let path = format!("aws/{user}/{id}");
        Self { world, user, id, path, secret, own }
    }

    /// The arguments of a plan, or of a request, with the value if the input has a secret for it.
    fn asking<'a>(verb: &'a str, input: &'a str) -> Vec<&'a str> {
        let is_given = input.contains("\"secret\"") && !input.contains(GENERATED);
        let value: &[&str] = if is_given { &["--secret-input", "value=@value"] } else { &[] };
        [&[verb, ANSWER, "--input", input], value].concat()
    }

    fn plan(&self, input: &Value) -> common::Ran {
        self.world.remit(&Self::asking("plan", &input.to_string()))
    }

    /// Asked for by the bot, approved by alice, run by the bot.
    fn grant(&self, input: &Value, name: &str) {
        let input = input.to_string();
        self.world.write("scope.toml", SCOPE);
        self.world.ask(&[&Self::asking("request", &input)[..], &["--scope", "scope.toml"]].concat(), name);
    }

    fn run(&self, input: &Value, name: &str) -> String {
        self.grant(input, name);
        let ran = self.world.run(name).exits(0).json();
        assert_eq!(ran["state"], "succeeded", "{ran}");
        self.world.last_run().0
    }

    fn both(&self) -> Value {
        json!({ "secret": self.secret_path(), "disable": self.path, "place": format!("aws/{}", self.user) })
    }

    fn secret_path(&self) -> String {
        format!("sm/{}", self.secret)
    }
}

#[test]
fn a_leaked_key_is_replaced_and_made_inactive_and_all_of_it_taken_back() {
    let case = Case::new("story");
    let leaked = value(&case.secret);
    let planned = case.plan(&case.both()).exits(0).out;
    for told in ["token:aws/ci-story/AKIA", "active again", "aws-secret:sm/prod/story/key", "current again"] {
        assert!(planned.contains(told), "{told} in {planned}");
    }
    let before = || (status(&case.user, &case.id).unwrap(), value(&case.secret));
    assert_eq!(before(), ("Active".to_owned(), leaked.clone()), "a rehearsal changes nothing");

    let run = case.run(&case.both(), "both");
    assert_eq!(before(), ("Inactive".to_owned(), VALUE.to_owned()));
    assert!(case.world.remit(&["replay", &run]).exits(0).out.contains("identical"));
    case.world.remit(&["revert", &run]).exits(0);
    assert_eq!(before(), ("Active".to_owned(), leaked));

    // The same once more: AWS keeps the version of before.
    let again = case.run(&case.both(), "again");
    assert_eq!(before().1, VALUE);
    case.world.remit(&["revert", &again]).exits(0);
    for secret in [VALUE, &case.own.1] {
        assert!(!common::contains(&case.world.all_bytes(), secret), "a secret is in the home");
    }
    case.world.audit_is_sound();
}

#[test]
fn a_deleted_key_is_gone_and_what_cannot_be_done_is_told_before() {
    let case = Case::new("gone");
    let says = |input: Value, told: &str| {
        let planned = case.plan(&input);
        assert!(planned.code != 0 && planned.err.contains(told), "{told} in {}{}", planned.out, planned.err);
    };
    says(json!({ "disable": "aws/ci-gone/AKIANOTTHERE" }), "there is no access key");
    says(json!({ "place": "aws/nobody" }), "there is no IAM user nobody");
    says(json!({ "disable": format!("aws/remit-gone/{}", case.own.0) }), "that Remit itself works as");
    says(json!({ "secret": "sm/prod/nothing" }), "there is no secret sm/prod/nothing");
    let deleted = json!({ "SecretId": case.secret });
    aws("secretsmanager", "delete_secret", deleted);
    says(json!({ "secret": case.secret_path() }), "is to be deleted");

    let revoke = json!({ "revoke": case.path, "place": "aws/ci-gone" });
    let planned = case.plan(&revoke).exits(0).out;
    assert!(planned.contains("nobody can make the same again"), "{planned}");
    aws(
        "iam",
        "update_access_key",
        json!({ "UserName": case.user, "AccessKeyId": case.id, "Status": "Inactive" }),
    );
    says(json!({ "disable": case.path }), "is inactive already");
    case.run(&revoke, "revoke");
    assert_eq!(status(&case.user, &case.id), None);
    says(revoke, "there is no access key");
    case.world.audit_is_sound();
}

#[test]
fn what_somebody_else_changed_is_left_alone() {
    let case = Case::new("others");
    case.grant(&json!({ "secret": case.secret_path() }), "late");
    put(&case.secret, "of-somebody-else");
    let late = case.world.run("late");
    assert!(late.code != 0 && value(&case.secret) == "of-somebody-else", "{}{}", late.out, late.err);

    let run = case.run(&case.both(), "both");
    put(&case.secret, "of-somebody-else");
    let status_of = |status: &str| json!({ "UserName": case.user, "AccessKeyId": case.id, "Status": status });
    aws("iam", "update_access_key", status_of("Active"));
    let reverted = case.world.remit(&["revert", &run]);
    assert_ne!(reverted.code, 0, "{}{}", reverted.out, reverted.err);
    let shown = case.world.remit(&["show", &run]).out;
    assert!(shown.contains("was put, and another after it"), "{shown}");
    assert_eq!(value(&case.secret), "of-somebody-else");
    assert_eq!(status(&case.user, &case.id).as_deref(), Some("Active"));
    case.world.audit_is_sound();
}

/// Every change is made, and nobody hears of it; the undo too. What is the case is asked of AWS then, and nothing is done twice.
#[test]
fn a_change_whose_answer_is_lost_is_found() {
    let origin = proxy::losing(
        &address(),
        &["Action=UpdateAccessKey", "Action=DeleteAccessKey", ".PutSecretValue", ".UpdateSecretVersionStage"],
    );
    let case = Case::behind("lost", &origin, &[policy("RemitIamKeys"), policy("RemitSecrets")]);
    let leaked = value(&case.secret);
    for (input, name) in
        [(json!({ "disable": case.path }), "disable"), (json!({ "secret": case.secret_path() }), "put")]
    {
        case.grant(&input, name);
        let ran = case.world.run(name).exits(5).json();
        assert_eq!(ran["state"], "in-doubt", "{ran}");
        let run = case.world.last_run().0;
        case.world.remit(&["revert", &run]).exits(0);
        let shown = case.world.remit(&["show", &run]).out;
        assert!(shown.contains("already as it was before; nothing touched"), "{shown}");
        assert_eq!(status(&case.user, &case.id).as_deref(), Some("Active"), "{shown}");
        assert_eq!(value(&case.secret), leaked, "{shown}");
    }
    case.grant(&json!({ "revoke": case.path }), "revoke");
    let ran = case.world.run("revoke").exits(5).out;
    assert!(ran.contains("the live system is as this call would have left it"), "{ran}");
    assert_eq!(status(&case.user, &case.id), None);
    case.world.audit_is_sound();
}

#[test]
fn a_wrong_signature_and_a_policy_that_is_too_small_are_told() {
    // Each without the one thing that changes something.
    let without = |sid: &str, action: &str| {
        let mut policy = policy(sid);
        let allowed = policy["Statement"][0]["Action"].as_array_mut().unwrap();
        let length = allowed.len();
        allowed.retain(|allowed| allowed != action);
        assert_eq!(allowed.len(), length - 1, "{action}");
        policy
    };
    let small = [
        without("RemitIamKeys", "iam:UpdateAccessKey"),
        without("RemitSecrets", "secretsmanager:PutSecretValue"),
    ];
    let case = Case::behind("small", &address(), &small);
    for (input, name) in
        [(json!({ "disable": case.path }), "disable"), (json!({ "secret": case.secret_path() }), "put")]
    {
        case.grant(&input, name);
        let ran = case.world.run(name);
        let told = format!("{}{}", ran.out, ran.err);
        assert!(ran.code != 0 && told.contains("docs/connectors.md") && told.contains("denied"), "{told}");
    }
    assert_eq!(status(&case.user, &case.id).as_deref(), Some("Active"));
    assert_ne!(value(&case.secret), VALUE);

    private(&case.world, "home/credential.key", "another/secret+key/of/the/same/length00");
    case.plan(&json!({ "disable": case.path })).exits(1).says("SignatureDoesNotMatch");
    let told = case.plan(&json!({ "secret": case.secret_path() })).exits(1).err;
    assert!(told.contains("secret key of the entry") || told.contains("right region"), "{told}");
    case.world.audit_is_sound();
}

/// The value goes from the host to AWS, and is nowhere else.
#[test]
fn a_generated_value_is_known_to_the_system_alone() {
    let case = Case::new(GENERATED);
    let leaked = value(&case.secret);
    let input = json!({ "secret": case.secret_path() });
    let planned = case.plan(&input).exits(0).out;
    assert!(planned.contains("current again"), "{planned}");
    assert_eq!(value(&case.secret), leaked, "a rehearsal changes nothing");
    let run = case.run(&input, "generate");
    let generated = value(&case.secret);
    assert!(
        generated.len() == 32 && generated.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "{generated}"
    );
    assert!(case.world.remit(&["replay", &run]).exits(0).out.contains("identical"));
    case.world.remit(&["revert", &run]).exits(0);
    assert_eq!(value(&case.secret), leaked);
    for secret in [&generated, &case.own.1] {
        assert!(!common::contains(&case.world.all_bytes(), secret), "a secret is in the home");
    }
    case.world.audit_is_sound();
}
