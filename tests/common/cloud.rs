//! AWS as moto plays it, which checks every signature, and whether a policy allows the action.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};

/// A cloud that ends with the value, and AWS's own client.
pub struct Cloud {
    pub address: String,
    client: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    child: Child,
}

impl Cloud {
    pub fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/connectors/cloud.py");
        let python = std::env::var("REMIT_MOTO")
            .expect("REMIT_MOTO is not set: run the tests with `cargo xtask test`");
        let mut python = Command::new(python);
        let mut child = python.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let address = answer(&mut output)["address"].as_str().unwrap().to_owned();
        Self { address, client: Mutex::new((input, output)), child }
    }

    /// A call of the administrator.
    pub fn aws(&self, service: &str, call: &str, with: Value) -> Value {
        self.ask(&json!({ "service": service, "call": call, "with": with }))
    }

    /// A call of who has a key: its id and its secret.
    pub fn aws_as(&self, key: &(String, String), service: &str, call: &str, with: Value) -> Value {
        self.ask(&json!({ "service": service, "call": call, "with": with, "as": [key.0, key.1] }))
    }

    /// A user's new access key: its id and its secret.
    pub fn new_key(&self, user: &str) -> (String, String) {
        let made = self.aws("iam", "create_access_key", json!({ "UserName": user }));
        let text = |name: &str| made["AccessKey"][name].as_str().unwrap().to_owned();
        (text("AccessKeyId"), text("SecretAccessKey"))
    }

    /// Gives a user a policy of its own.
    pub fn allow(&self, user: &str, name: &str, policy: &Value) {
        let with = json!({ "UserName": user, "PolicyName": name, "PolicyDocument": policy.to_string() });
        self.aws("iam", "put_user_policy", with);
    }

    fn ask(&self, asked: &Value) -> Value {
        let mut client = self.client.lock().unwrap();
        writeln!(client.0, "{asked}").unwrap();
        answer(&mut client.1)
    }
}

/// The policy of the manual that has a statement of this name; of any resource, because moto asks for no other.
pub fn policy(sid: &str) -> Value {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/connectors.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let mut blocks = manual.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let found = blocks.find(|block| block.contains(&format!("\"{sid}\"")));
    let mut policy: Value = serde_json::from_str(found.unwrap()).unwrap();
    for statement in policy["Statement"].as_array_mut().unwrap() {
        statement["Resource"] = json!("*");
    }
    policy
}

fn answer(output: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
