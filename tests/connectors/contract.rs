//! Servers that stand for systems which cannot be installed. Each holds state, and every request and every answer of its own is
//! held to a description: operations, parameters, bodies, statuses. What is not as described fails the test as the server goes.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// What a system does with the requests that its description knows.
pub trait System: Send + 'static {
    /// A description, as `OpenAPI` 3.1 has it, in JSON.
    const DESCRIPTION: &'static str;

    /// What is wrong with any request of a client, whatever the operation; none if nothing is.
    fn mistake(asked: &Asked) -> Option<String>;

    /// The answer to a request that is as described.
    fn answer(&mut self, asked: &Asked) -> Answer;

    /// The answer to a request that is not: its status, and its body.
    fn refusal(why: &str) -> Answer;
}

/// A request that the description has, taken apart.
#[derive(Debug, Default)]
pub struct Asked {
    /// `operationId`.
    pub operation: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Decoded, by name.
    pub path: BTreeMap<String, String>,
    pub query: BTreeMap<String, String>,
    pub body: Value,
}

impl Asked {
    pub fn number(&self, name: &str) -> u64 {
        self.path.get(name).or_else(|| self.query.get(name)).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    pub fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }

    /// The page of a list that is asked for, with the header that says where the next one is.
    pub fn page<T>(&self, all: Vec<T>, size: u64) -> (Vec<T>, Option<String>) {
        let asked = |name, default| self.query.get(name).map_or(default, |_| self.number(name)).max(1);
        let (page, size) = (asked("page", 1), asked("per_page", size).min(100));
        let (skip, count) = (usize::try_from((page - 1) * size).unwrap(), usize::try_from(size).unwrap());
        let next = (all.len() > skip + count)
            .then(|| format!("<http://127.0.0.1/next?page={}>; rel=\"next\"", page + 1));
        (all.into_iter().skip(skip).take(count).collect(), next)
    }
}

/// What it is answered with.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Value>,
}

impl Answer {
    pub fn new(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Some(body) }
    }

    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: None }
    }

    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// A server that runs until the test ends.
pub struct Contract<S> {
    pub address: String,
    system: Arc<Mutex<S>>,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    /// What was asked for, by its `operationId`.
    operations: Vec<String>,
    /// What was not as described.
    faults: Vec<String>,
    /// The operation whose next answer is lost.
    loses: Option<String>,
}

impl<S: System> Contract<S> {
    pub fn start(system: S) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (system, log) = (Arc::new(Mutex::new(system)), Arc::<Mutex<Log>>::default());
        let operations = Arc::new(operations(&serde_json::from_str(S::DESCRIPTION).unwrap()));
        let shared = (Arc::clone(&system), Arc::clone(&log));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (system, log) = (Arc::clone(&shared.0), Arc::clone(&shared.1));
                let operations = Arc::clone(&operations);
                // Whoever asked may be gone: that ends its connection only.
                std::thread::spawn(move || drop(serve(&stream, &operations, &system, &log)));
            }
        });
        Self { address, system, log }
    }

    /// What it holds.
    pub fn system(&self) -> MutexGuard<'_, S> {
        self.system.lock().unwrap()
    }

    /// The next request for this operation is done, and its answer does not arrive.
    pub fn lose_answer_to(&self, operation: &str) {
        self.log.lock().unwrap().loses = Some(operation.to_owned());
    }

    /// How often an operation was asked for.
    pub fn count(&self, operation: &str) -> usize {
        self.log.lock().unwrap().operations.iter().filter(|asked| *asked == operation).count()
    }
}

impl<S> Drop for Contract<S> {
    fn drop(&mut self) {
        let faults = std::mem::take(&mut self.log.lock().unwrap().faults);
        if !std::thread::panicking() {
            assert!(faults.is_empty(), "not as described:\n{}", faults.join("\n"));
        }
    }
}

/// One operation of a description.
struct Operation {
    id: String,
    method: String,
    /// Texts, and names in braces.
    segments: Vec<String>,
    /// By where they are and their name.
    parameters: Vec<(String, String, bool, Validator)>,
    body: Option<(bool, Validator)>,
    /// By status; none for an answer without a body.
    responses: BTreeMap<String, Option<Validator>>,
}

fn operations(description: &Value) -> Vec<Operation> {
    let validator = |schema: &Value| {
        let whole = json!({ "allOf": [schema], "components": description["components"] });
        jsonschema::options().should_validate_formats(true).build(&whole).unwrap()
    };
    let content = |of: &Value| of["content"].get("application/json").map(|it| validator(&it["schema"]));
    let mut all = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, of) in methods.as_object().unwrap() {
            let parameters = of["parameters"].as_array().into_iter().flatten().map(|it| {
                let text = |name: &str| it[name].as_str().unwrap().to_owned();
                (text("in"), text("name"), it["required"] == true, validator(&it["schema"]))
            });
            let responses = of["responses"].as_object().unwrap().iter().map(|(status, it)| {
                let reference = it["$ref"].as_str().and_then(|to| to.strip_prefix('#'));
                let it = reference.map_or(it, |to| description.pointer(to).unwrap());
                (status.clone(), content(it))
            });
            let body = of.get("requestBody").map(|it| (it["required"] == true, content(it).unwrap()));
            all.push(Operation {
                id: of["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase(),
                segments: path.split('/').skip(1).map(str::to_owned).collect(),
                parameters: parameters.collect(),
                body,
                responses: responses.collect(),
            });
        }
    }
    // `…/self` before `…/{id}`.
    all.sort_by_key(|one| one.segments.iter().filter(|segment| segment.starts_with('{')).count());
    all
}

fn serve<S: System>(
    stream: &TcpStream,
    operations: &[Operation],
    system: &Mutex<S>,
    log: &Mutex<Log>,
) -> std::io::Result<()> {
    let mut read = BufReader::new(stream);
    loop {
        let (mut line, mut first, mut headers) = (String::new(), String::new(), BTreeMap::new());
        while read.read_line(&mut line)? > 2 {
            match line.split_once(':').filter(|_| !first.is_empty()) {
                Some((name, value)) => drop(headers.insert(name.to_lowercase(), value.trim().to_owned())),
                None => line.trim_end().clone_into(&mut first),
            }
            line.clear();
        }
        if first.is_empty() {
            return Ok(());
        }
        let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
        let mut body = vec![0; length];
        read.read_exact(&mut body)?;
        let (answer, is_lost) = {
            let mut log = log.lock().unwrap();
            let answer = answer(&first, headers, &body, operations, system, &mut log);
            let is_lost = log.loses.is_some() && log.loses.as_ref() == log.operations.last();
            if is_lost {
                log.loses = None;
            }
            (answer, is_lost)
        };
        if is_lost {
            return Ok(());
        }
        let text = answer.body.map(|body| body.to_string()).unwrap_or_default();
        let mut head = format!("HTTP/1.1 {} X\r\n", answer.status);
        for (name, value) in &answer.headers {
            head.extend([*name, ": ", value.as_str(), "\r\n"]);
        }
        if !text.is_empty() {
            head += "content-type: application/json; charset=utf-8\r\n";
        }
        if answer.status != 204 {
            head.extend(["content-length: ", &text.len().to_string(), "\r\n"]);
        }
        (&mut &*stream).write_all(format!("{head}\r\n{text}").as_bytes())?;
    }
}

fn answer<S: System>(
    first: &str,
    headers: BTreeMap<String, String>,
    body: &[u8],
    operations: &[Operation],
    system: &Mutex<S>,
    log: &mut Log,
) -> Answer {
    let mut asked = Asked { headers, ..Asked::default() };
    let operation = match understood(first, body, operations, &mut asked) {
        Ok(operation) => operation,
        Err(why) => {
            log.faults.push(format!("{first}: {why}"));
            return S::refusal(&why);
        }
    };
    log.operations.push(operation.id.clone());
    if let Some(why) = S::mistake(&asked) {
        log.faults.push(format!("{first}: {why}"));
        return S::refusal(&why);
    }
    let answer = system.lock().unwrap().answer(&asked);
    let described = operation.responses.get(&answer.status.to_string());
    let wrong = match (described, &answer.body) {
        (None, _) => Some(format!("the status {} is not described", answer.status)),
        (Some(None), None) => None,
        (Some(Some(validator)), Some(body)) => mismatch(validator, body),
        (Some(None), Some(body)) => Some(format!("there is a body: {body}")),
        (Some(Some(_)), None) => Some("there is no body".to_owned()),
    };
    if let Some(wrong) = wrong {
        log.faults.push(format!("the answer {} to {first}: {wrong}", answer.status));
    }
    answer
}

/// The operation of a request that is as described.
fn understood<'a>(
    first: &str,
    body: &[u8],
    operations: &'a [Operation],
    asked: &mut Asked,
) -> Result<&'a Operation, String> {
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let is_it = |one: &&Operation| {
        let pairs = one.segments.iter().zip(&segments);
        one.method == method
            && one.segments.len() == segments.len()
            && pairs.into_iter().all(|(known, segment)| known.starts_with('{') || known == segment)
    };
    let operation = operations.iter().find(is_it).ok_or("there is no such operation")?;
    operation.id.clone_into(&mut asked.operation);
    for (known, segment) in operation.segments.iter().zip(&segments) {
        if let Some(name) = known.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            asked.path.insert(name.to_owned(), decoded(segment));
        }
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        asked.query.insert(decoded(name), decoded(value));
    }
    for name in asked.query.keys() {
        if !operation.parameters.iter().any(|(place, known, ..)| place == "query" && known == name) {
            return Err(format!("there is no parameter {name}"));
        }
    }
    for (place, name, is_required, validator) in &operation.parameters {
        let of = match place.as_str() {
            "path" => &asked.path,
            "query" => &asked.query,
            _ => &asked.headers,
        };
        match of.get(name) {
            None if *is_required => return Err(format!("the parameter {name} is missing")),
            None => {}
            Some(text) => {
                // A number or a text: whichever is described.
                let number: Option<Value> = text.parse::<u64>().ok().map(Value::from);
                let fits = number.iter().chain([&json!(text)]).any(|value| validator.is_valid(value));
                if !fits {
                    return Err(format!("the parameter {name} cannot be {text}"));
                }
            }
        }
    }
    match &operation.body {
        None if !body.is_empty() => return Err("there is a body".to_owned()),
        Some((true, _)) if body.is_empty() => return Err("there is no body".to_owned()),
        Some((_, validator)) if !body.is_empty() => {
            let kind = asked.headers.get("content-type").map_or("", String::as_str);
            if !kind.starts_with("application/json") {
                return Err(format!("the body is of type {kind}"));
            }
            asked.body = serde_json::from_slice(body).map_err(|error| error.to_string())?;
            if let Some(wrong) = mismatch(validator, &asked.body) {
                return Err(wrong);
            }
        }
        _ => {}
    }
    Ok(operation)
}

fn mismatch(validator: &Validator, value: &Value) -> Option<String> {
    let wrong: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *byte == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match code.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(coded) => {
                bytes.push(coded);
                rest = &after[2..];
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// The moment `seconds` after a beginning: each change has one of its own, and no clock is asked.
pub fn moment(seconds: u64) -> String {
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("2026-11-30T{hours:02}:{minutes:02}:{:02}Z", seconds % 60)
}

/// An object with these members, and those of another.
pub fn with(mut of: Value, more: Value) -> Value {
    if let (Value::Object(of), Value::Object(more)) = (&mut of, more) {
        of.extend::<Map<String, Value>>(more);
    }
    of
}
