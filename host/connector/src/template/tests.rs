use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use remit_gate::SealedValues;
use serde_json::{Value, json};

use super::*;
use crate::{Placeholders, Request};

/// What a template is made of: the text in it, and what a true request has there.
#[derive(Clone, Debug)]
struct Piece {
    template: String,
    filled: String,
}

const ARGUMENTS: [(&str, &str); 4] =
    [("id", "42"), ("name", "a b?/é"), ("flag", "true"), ("plain", "x-1_y.z")];

/// Letters that matter to somebody who reads requests.
fn literal() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select("aZ09-_.~@:+=&?#%;,!$'()[]\"<> é世{}".chars().collect::<Vec<_>>()),
        1..6,
    )
    .prop_map(|chars| chars.into_iter().collect())
}

fn piece(in_path: bool) -> impl Strategy<Value = Piece> {
    let text = literal()
        .prop_map(|text| Piece { template: text.replace('{', "{{").replace('}', "}}"), filled: text });
    let variable = prop::sample::select(ARGUMENTS.to_vec())
        .prop_filter("a slash joins no segments", move |(_, value)| !in_path || !value.contains('/'))
        .prop_map(|(name, value)| Piece { template: format!("{{{name}}}"), filled: value.to_owned() });
    prop::collection::vec(prop_oneof![text, variable], 1..3).prop_map(|pieces| Piece {
        template: pieces.iter().map(|piece| piece.template.as_str()).collect(),
        filled: pieces.iter().map(|piece| piece.filled.as_str()).collect(),
    })
}

/// JSON with variables in its texts, and what it becomes.
fn body() -> impl Strategy<Value = (Value, Value)> {
    let number = prop_oneof![
        any::<i32>().prop_map(Value::from),
        (-1000..1000_i32).prop_map(|n| json!(f64::from(n) / 8.0))
    ];
    let same =
        prop_oneof![number, any::<bool>().prop_map(Value::from)].prop_map(|value| (value.clone(), value));
    let leaf = prop_oneof![same, piece(false).prop_map(|piece| (piece.template.into(), piece.filled.into()))];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4).prop_map(|items| {
            let (a, b): (Vec<Value>, Vec<Value>) = items.into_iter().unzip();
            (Value::from(a), Value::from(b))
        });
        let object = prop::collection::btree_map("[a-c]{1,2}", inner, 0..4).prop_map(|members| {
            let side = |pick: fn(&(Value, Value)) -> Value| -> Value {
                members
                    .iter()
                    .map(|(name, pair)| (name.clone(), pick(pair)))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            };
            (side(|pair| pair.0.clone()), side(|pair| pair.1.clone()))
        });
        prop_oneof![list, object]
    })
}

#[derive(Clone, Debug)]
struct Case {
    template: Template,
    request: Request,
}

fn case() -> impl Strategy<Value = Case> {
    let method = prop::sample::select(vec!["POST", "PUT", "PATCH", "DELETE"]);
    let path = prop::collection::vec(piece(true), 1..5);
    let query = prop::collection::btree_map("[a-c]{1,2}", piece(false), 0..3);
    let headers = prop::collection::btree_map(
        "x-[a-c]{1,2}",
        prop::sample::select(vec!["{id}", "v {plain}", "lit"]),
        0..2,
    );
    let form = prop::collection::btree_map("[a-c]{1,2}", piece(false), 1..4).prop_map(Err);
    let body = prop::option::of(prop_oneof![body().prop_map(Ok), form]);
    (method, path, query, headers, body).prop_filter_map(
        "no template",
        |(method, path, query, headers, body)| {
            let segments: Vec<String> = path.iter().map(|piece| piece.template.clone()).collect();
            let send = format!("{method} /{}", segments.join("/"));
            let pairs =
                |of: &BTreeMap<String, Piece>, pick: fn(&Piece) -> String| -> BTreeMap<String, String> {
                    of.iter().map(|(name, piece)| (name.clone(), pick(piece))).collect()
                };
            let mut raw =
                json!({"send": send, "query": pairs(&query, |p| p.template.clone()), "headers": headers});
            let mut sent = None;
            match &body {
                Some(Ok((template, filled))) => {
                    raw["json"] = template.clone();
                    sent = Some(filled.to_string().into_bytes());
                }
                Some(Err(form)) => {
                    raw["form"] = json!(pairs(form, |p| p.template.clone()));
                    let all: Vec<_> = pairs(form, |p| p.filled.clone()).into_iter().collect();
                    sent = Some(crate::request::joined(&all).into_bytes());
                }
                None => {}
            }
            let template: Template = serde_json::from_value(raw).ok()?;
            let fill = |text: &&str| text.replace("{id}", "42").replace("{plain}", "x-1_y.z");
            let request = Request {
                method: method.to_owned(),
                path: path.iter().map(|piece| piece.filled.clone()).collect(),
                query: pairs(&query, |p| p.filled.clone()).into_iter().collect(),
                headers: headers.iter().map(|(name, text)| (name.clone(), fill(text))).collect(),
                body: sent,
                credential: None,
            };
            // Segments that nobody may send are not what this is about.
            request.read().ok()?;
            Some(Case { template, request })
        },
    )
}

fn fits(template: &Template, request: &Request) -> Option<(String, Option<Vec<u8>>)> {
    let arguments = json!({"id": "42", "name": "a b?/é", "flag": "true"});
    let (nothing, inputs, placeholders) = (Value::Null, SealedValues::new(), Arc::<Placeholders>::default());
    let with = Variables {
        path: [("plain", "x-1_y.z")].into_iter().collect(),
        arguments: &arguments,
        undo: &nothing,
        got: &nothing,
        config: &nothing,
        sealed: &[],
        inputs: &inputs,
        placeholders: &placeholders,
    };
    let read = request.read().ok()?;
    let fitted = template.fit(&read, &with, true).ok()?;
    Some((request.target(), fitted.body.map(|body| body.to_vec())))
}

/// What a hostile connector would like to change.
fn mutated(request: &Request, what: usize, at: usize, with: &str) -> Request {
    let mut request = request.clone();
    let change = |text: &mut String| {
        let chars: Vec<char> = text.chars().collect();
        let cut = at % (chars.len() + 1);
        *text = chars[..cut].iter().collect::<String>() + with + &chars[cut..].iter().collect::<String>();
    };
    match what % 12 {
        0 => {
            let at = at % request.path.len();
            change(&mut request.path[at]);
        }
        1 => request.path.insert(at % (request.path.len() + 1), with.to_owned()),
        2 => drop(request.path.remove(at % request.path.len())),
        3 => request.query.push((with.to_owned(), with.to_owned())),
        4 => drop(request.query.pop()),
        5 => {
            if let Some((_, value)) = request.query.first_mut() {
                change(value);
            }
        }
        6 => request.headers.push((format!("x-{}", at % 10), with.to_owned())),
        7 => drop(request.headers.pop()),
        8 => request.method = ["GET", "POST", "PUT", "PATCH", "DELETE"][at % 5].to_owned(),
        9 => {
            let body = request.body.get_or_insert_default();
            let cut = at % (body.len() + 1);
            body.splice(cut..cut, with.bytes());
        }
        10 => {
            if let Some(body) = &mut request.body {
                let cut = at % (body.len() + 1);
                body.truncate(cut);
            }
        }
        _ => request.query.extend(request.query.first().cloned()),
    }
    request
}

/// What the request means to whoever gets it: its parts as a server reads them.
fn meaning(request: &Request) -> Option<Value> {
    let body = match &request.body {
        None => Value::Null,
        Some(body) => {
            let text = std::str::from_utf8(body).ok()?;
            match serde_json::from_str::<Value>(text) {
                Ok(json) => json!([json]),
                Err(_) => {
                    let mut pairs: Vec<_> = form_urlencoded::parse(body).into_owned().collect();
                    pairs.sort();
                    json!(pairs)
                }
            }
        }
    };
    let (mut query, mut headers) = (request.query.clone(), request.headers.clone());
    query.sort();
    for (name, value) in &mut headers {
        name.make_ascii_lowercase();
        *value = value.trim().to_owned();
    }
    headers.sort();
    Some(json!([request.method, request.path, query, headers, body]))
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "/",
            "..",
            "../",
            "%2e",
            "%00",
            "\0",
            "\r\n",
            "\r\nHost: x",
            ";",
            "?",
            "#",
            "&",
            "=",
            "//x",
            "\\",
            " ",
            ",",
            "\"",
            "}",
            "{",
            "{id}",
            "x",
            "0",
            ".0",
            "e1",
            "null",
            "é",
            "\u{202e}",
            "\u{feff}",
        ])
        .prop_map(ToOwned::to_owned),
        ".{1,4}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_true_request_passes_and_no_other(
        case in case(),
        (what, at, with) in (0..12_usize, any::<usize>(), hostile()),
    ) {
        let Some(passed) = fits(&case.template, &case.request) else {
            return Err(TestCaseError::fail("the true request does not pass"));
        };
        let other = mutated(&case.request, what, at, &with);
        if let Some(also) = fits(&case.template, &other) {
            // It passes if it means the same to everybody; then the same is sent.
            prop_assert_eq!(meaning(&other), meaning(&case.request), "{:?}", other);
            prop_assert_eq!(also.0.split('?').next(), passed.0.split('?').next());
            let sent = |body: Option<Vec<u8>>| body.map(|body| serde_json::from_slice::<Value>(&body).map_err(|_| body));
            match (sent(also.1), sent(passed.1)) {
                (Some(Err(a)), Some(Err(b))) => {
                    let pairs = |body| {
                        let mut all: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
                        all.sort();
                        all
                    };
                    prop_assert_eq!(pairs(&a), pairs(&b));
                }
                (a, b) => prop_assert_eq!(a.map(Result::ok), b.map(Result::ok)),
            }
        }
    }

    /// Whatever is asked for, the target is one that every parser of URLs reads as these segments and pairs.
    #[test]
    fn a_target_is_read_as_it_was_meant(
        path in prop::collection::vec(hostile(), 0..4),
        query in prop::collection::vec((hostile(), hostile()), 0..3),
    ) {
        let request = Request { method: "GET".to_owned(), path, query, ..Request::default() };
        if request.read().is_ok() {
            let target = request.target();
            prop_assert!(target.bytes().all(|b| b.is_ascii_graphic()), "{}", target);
            let uri: ureq::http::Uri = format!("http://127.0.0.1:1{target}").parse().unwrap();
            prop_assert_eq!(uri.authority().unwrap().as_str(), "127.0.0.1:1");
            let decode = |text: &str| -> String {
                form_urlencoded::parse(format!("x={text}").as_bytes()).next().unwrap().1.into_owned()
            };
            let segments: Vec<String> = uri.path()[1..].split('/').map(decode).collect();
            prop_assert_eq!(segments, if request.path.is_empty() { vec![String::new()] } else { request.path.clone() });
            let pairs: Vec<(String, String)> =
                form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
            prop_assert_eq!(pairs, request.query);
        }
    }
}
