//! Users of AWS as accounts: who is disabled can do nothing with any of its keys, and afterwards all that it could before.

use serde_json::{Value, json};

use super::aws::{aws, cloud};
use super::private;
use crate::common::cloud::policy;
use crate::common::{World, proxy};

const SUSPEND: &str = "suspend.wasm";

/// Users of the test: one who may look at itself, with two keys and in a group, and the one that Remit works as.
struct Case {
    world: World,
    user: String,
    remit: String,
    keys: [(String, String); 2],
}

impl Case {
    fn new(name: &str, origin: &str, policy: &Value) -> Self {
        let (user, remit, group) = (format!("user-{name}"), format!("remit-{name}"), format!("group-{name}"));
        for user in [&user, &remit] {
            aws("iam", "create_user", json!({ "UserName": user }));
        }
        aws("iam", "create_group", json!({ "GroupName": group }));
        let look = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "iam:*", "Resource": "*" }] });
        let look = json!({ "GroupName": group, "PolicyName": "look", "PolicyDocument": look.to_string() });
        aws("iam", "put_group_policy", look);
        aws("iam", "add_user_to_group", json!({ "GroupName": group, "UserName": user }));
        cloud().allow(&remit, "own", policy);
        let own = cloud().new_key(&remit);
        let keys = [cloud().new_key(&user), cloud().new_key(&user)];
        let world = World::with(&["suspend"]);
        private(&world, "home/credential.key", &own.1);
        let credential = format!(
            "[connector.credential]\naws = {{ region = \"us-east-1\", service = \"iam\", access_key_id = \"{}\", \
             secret_key_file = \"credential.key\" }}",
            own.0
        );
        world.connect("aws-iam", "aws", origin, &credential);
        Self { world, user, remit, keys }
    }

    fn input(&self) -> String {
        json!({ "path": format!("aws/{}", self.user) }).to_string()
    }

    /// How many of its keys the user can do something with.
    fn works(&self) -> usize {
        let works = |key: &&(String, String)| {
            cloud().aws_as(key, "iam", "get_user", json!({ "UserName": self.user }))["error"].is_null()
        };
        self.keys.iter().filter(works).count()
    }

    fn attach(&self, verb: &str) {
        let with = json!({ "UserName": self.user, "PolicyArn": "arn:aws:iam::aws:policy/AWSDenyAll" });
        let answer = aws("iam", &format!("{verb}_user_policy"), with);
        assert!(answer["error"].is_null(), "{answer}");
    }

    /// Why a rehearsal fails.
    fn refused(&self, user: &str) -> String {
        let input = json!({ "path": format!("aws/{user}") }).to_string();
        let planned = self.world.remit(&["plan", SUSPEND, "--input", &input]);
        assert_ne!(planned.code, 0, "{planned:?}");
        planned.err
    }

    fn run(&self) -> String {
        self.world.grant(SUSPEND, &self.input(), "suspend");
        let ran = self.world.run("suspend").exits(0).json();
        assert_eq!(ran["state"], "succeeded", "{ran}");
        self.world.last_run().0
    }
}

#[test]
fn a_user_can_do_nothing_with_any_key_until_it_is_undone() {
    let case = Case::new("story", &cloud().address, &policy("RemitIamUsers"));
    let planned = case.world.remit(&["plan", SUSPEND, "--input", &case.input()]).exits(0).out;
    assert!(planned.contains("do again what its policies allow"), "{planned}");
    assert_eq!(case.works(), 2, "a rehearsal changes nothing");

    let run = case.run();
    assert_eq!(case.works(), 0);
    let (_, records) = case.world.last_run();
    let ended = records.iter().rev().find_map(|record| record["event"]["ended"].as_object()).unwrap();
    assert_eq!(
        ended["output"],
        json!({ "name": case.user, "groups": ["group-story"], "disabled": [case.user] })
    );
    assert!(case.world.remit(&["replay", &run]).exits(0).out.contains("identical"));
    assert!(case.refused(&case.user).contains("is disabled already"));
    assert!(case.refused(&case.remit).contains("that Remit itself works as"));
    assert!(case.refused("nobody").contains("there is no IAM user aws/nobody"));
    case.world.remit(&["revert", &run]).exits(0);
    assert_eq!(case.works(), 2);
    case.world.remit(&["revert", &run]).exits(0);
    let twice = json!({ "path": format!("aws/{}", case.user), "twice": true }).to_string();
    case.world.remit(&["plan", SUSPEND, "--input", &twice]).exits(1).says("is disabled already");

    // Somebody else was there: between approval and run, and between run and revert.
    case.world.grant(SUSPEND, &case.input(), "late");
    case.attach("attach");
    assert_ne!(case.world.run("late").code, 0);
    assert_eq!(case.works(), 0, "theirs stays");
    case.attach("detach");
    let run = case.run();
    case.attach("detach");
    case.world.remit(&["revert", &run]).exits(0);
    assert_eq!(case.works(), 2);
    // Another user of the same name, whom somebody disabled.
    let run = case.run();
    case.attach("detach");
    let user = || json!({ "UserName": case.user });
    for key in &case.keys {
        aws("iam", "delete_access_key", json!({ "UserName": case.user, "AccessKeyId": key.0 }));
    }
    let group = json!({ "UserName": case.user, "GroupName": "group-story" });
    aws("iam", "remove_user_from_group", group);
    aws("iam", "delete_user", user());
    aws("iam", "create_user", user());
    case.attach("attach");
    let reverted = case.world.remit(&["revert", &run]).exits(5).out;
    assert!(reverted.contains("is another user now"), "{reverted}");
    case.world.audit_is_sound();
}

#[test]
fn a_lost_answer_is_found_and_a_policy_that_is_too_small_is_told() {
    // Each change is made, and nobody hears of it.
    let origin = proxy::losing(&cloud().address, &["Action=AttachUserPolicy", "Action=DetachUserPolicy"]);
    let case = Case::new("lost", &origin, &policy("RemitIamUsers"));
    case.world.grant(SUSPEND, &case.input(), "suspend");
    let ran = case.world.run("suspend").exits(5).json();
    assert_eq!(ran["state"], "in-doubt", "{ran}");
    case.world.remit(&["revert", &case.world.last_run().0]).exits(0);
    assert_eq!(case.works(), 2);

    // Without what changes something.
    let mut small = policy("RemitIamUsers");
    small["Statement"].as_array_mut().unwrap().retain(|of| of["Sid"] != "RemitIamUsersChange");
    let case = Case::new("small", &cloud().address, &small);
    case.world.grant(SUSPEND, &case.input(), "suspend");
    let ran = case.world.run("suspend");
    let told = format!("{}{}", ran.out, ran.err);
    assert!(ran.code != 0 && told.contains("docs/connectors.md") && told.contains("denied"), "{told}");
    assert_eq!(case.works(), 2);
    case.world.audit_is_sound();
}
