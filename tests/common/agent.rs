//! An agent: a client of the Model Context Protocol that has started `remit mcp`.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::World;
use super::server::{add_context, elsewhere};

/// The revision of the protocol without sessions.
pub const NEWEST: &str = "2026-07-28";

/// What each call says of its client, as this revision wants it.
pub fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": NEWEST,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// The agent of this principal at a server.
pub fn agent(world: &World, name: &str, url: &str) -> Agent {
    add_context(world, name, url);
    Agent::start(elsewhere(world, name, &["mcp", "--context", "prod"]))
}

/// See above.
pub struct Agent {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    tools: HashMap<String, Validator>,
    next: u64,
}

impl Agent {
    /// Starts it, and asks for its tools.
    pub fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let (told, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        let stdin = child.stdin.take();
        let mut agent = Self { child, stdin, lines, tools: HashMap::new(), next: 0 };
        for tool in agent.ask("tools/list", &json!({}))["result"]["tools"].as_array().unwrap() {
            let schema = jsonschema::draft202012::new(&tool["outputSchema"]).unwrap();
            jsonschema::draft202012::new(&tool["inputSchema"]).unwrap();
            agent.tools.insert(tool["name"].as_str().unwrap().to_owned(), schema);
        }
        agent
    }

    /// Writes one line.
    pub fn write(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).unwrap();
        stdin.write_all(b"\n").unwrap();
    }

    /// Sends a request; its number.
    pub fn send(&mut self, method: &str, params: &Value) -> u64 {
        self.next += 1;
        let mut params = params.clone();
        params["_meta"] = meta();
        let line = json!({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params});
        self.write(&line.to_string());
        self.next
    }

    /// The next answer.
    pub fn receive(&self) -> Value {
        let line = self.lines.recv_timeout(Duration::from_secs(120)).expect("it answers");
        serde_json::from_str(&line).unwrap()
    }

    /// Sends a request, and waits for its answer.
    pub fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.send(method, params);
        let answer = self.receive();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// Calls a tool that does what it is asked for. What it answers is as its schema says.
    #[track_caller]
    pub fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let answer = self.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        let result = &answer["result"];
        assert_ne!(result["isError"], true, "{tool} {arguments}: {answer}");
        let told = result["structuredContent"].clone();
        let wrong: Vec<String> = self.tools[tool].iter_errors(&told).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{tool} does not answer as its schema says: {wrong:?}\n{told}");
        let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, told);
        told
    }

    /// Calls a tool that refuses; what it says.
    #[track_caller]
    pub fn refused(&mut self, tool: &str, arguments: &Value) -> String {
        let answer = self.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        assert_eq!(answer["result"]["isError"], true, "{tool} {arguments}: {answer}");
        answer["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    }

    /// Whether there is a tool of this name.
    pub fn has(&self, tool: &str) -> bool {
        self.tools.contains_key(tool)
    }

    /// Waits for the end of a run.
    #[track_caller]
    pub fn end(&mut self, named: &Value) -> Value {
        let limit = Instant::now() + Duration::from_secs(120);
        loop {
            let run = self.call("get_run", named);
            if !run["state"].is_null() {
                return run;
            }
            assert!(Instant::now() < limit, "it has no end: {run}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Goes away; whether the program ended well.
    pub fn leave(mut self) -> bool {
        drop(self.stdin.take());
        self.child.wait().unwrap().success()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
