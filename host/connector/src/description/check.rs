//! Reading `connector.toml`, and what must hold of it as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use remit_gate::{Countermeasure, Effect};
use remit_text::Mistake;
use serde::Deserialize;
use toml::Spanned;

use super::secrets::{sealed_of, variables, without_sealed};
use super::{About, Auth, Cas, Description, Function, PathPattern};
use crate::pointer::shown;
use crate::template::{Segment, Text, Variable, is_name};
use crate::{Pointer, Template};

/// The longest description, in bytes.
const LONGEST: usize = 256 * 1024;
/// How many functions, and how many things in one list.
const MOST: usize = 64;
/// The longest reason, in bytes.
const LONGEST_REASON: usize = 500;
/// Kinds of resources that the host itself serves.
const RESERVED: [&str; 3] = ["secret", "file", "run"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Option<String>,
    version: Option<String>,
    summary: Option<String>,
    license: Option<String>,
    homepage: Option<String>,
    interfaces: Vec<Spanned<String>>,
    #[serde(default)]
    auth: Vec<Auth>,
    check: Option<Spanned<Template>>,
    #[serde(default)]
    function: BTreeMap<Spanned<String>, RawFunction>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFunction {
    effect: Spanned<Effect>,
    irrevocable_because: Option<Spanned<String>>,
    kind: Spanned<String>,
    path: Spanned<String>,
    #[serde(default)]
    pub(super) change: Vec<Spanned<Template>>,
    #[serde(default)]
    pub(super) undo: Vec<Spanned<Template>>,
    #[serde(default)]
    pub(super) reads: Vec<Spanned<Template>>,
    #[serde(default)]
    pub(super) secrets: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) sealed: Vec<Spanned<String>>,
    #[serde(default)]
    response_headers: Vec<Spanned<String>>,
    countermeasure: Option<Spanned<String>>,
    #[serde(default)]
    cas: Cas,
    /// What `remit build` makes a connector without code of; see docs/connectors.md. The host goes by the requests alone.
    #[serde(rename = "rules")]
    _rules: Option<serde::de::IgnoredAny>,
}

/// What is wrong, and where.
pub(super) struct Wrong(Range<usize>, String);

pub(super) fn wrong<T>(at: Range<usize>, why: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong(at, why.into()))
}

pub(super) fn parse(text: &str) -> Result<Description, Mistake> {
    let mistake = |Wrong(at, why)| Mistake::new(text, at, why);
    if text.len() > LONGEST {
        return Err(mistake(Wrong(0..1, format!("the description is longer than {LONGEST} bytes"))));
    }
    let raw: Raw = remit_text::toml::read_exact(text)?;
    check(raw).map_err(mistake)
}

fn check(raw: Raw) -> Result<Description, Wrong> {
    let about = About {
        name: raw.name,
        version: raw.version,
        summary: raw.summary,
        license: raw.license,
        homepage: raw.homepage,
    };
    let (interfaces, auth, function) = (raw.interfaces, raw.auth, raw.function);
    let all = 0..1;
    if interfaces.is_empty() {
        return wrong(all, "`interfaces` is empty: name what the connector implements");
    }
    if interfaces.len() > MOST || function.len() > MOST {
        return wrong(all, format!("a connector has at most {MOST} interfaces and {MOST} functions"));
    }
    let mut bare = BTreeSet::new();
    for interface in &interfaces {
        let Some(name) = interface_of(interface.get_ref()) else {
            let why = format!(
                "`{}` is not an interface: write it like remit:tokens/tokens@0.1.0",
                shown(interface.get_ref())
            );
            return wrong(interface.span(), why);
        };
        if !bare.insert(name) {
            return wrong(interface.span(), format!("`{name}` is there twice"));
        }
        let has = |key: &Spanned<String>| key.get_ref().rsplit_once('.').is_some_and(|(of, _)| of == name);
        if !function.keys().any(has) {
            return wrong(interface.span(), format!("no function of `{name}` is described"));
        }
    }
    let mut functions = BTreeMap::new();
    for (key, raw) in function {
        let name = key.get_ref();
        match name.rsplit_once('.') {
            Some((interface, function)) if bare.contains(interface) && is_name(function) => {}
            _ => {
                let why = format!(
                    "`{}` is not a function of one of `interfaces`: write it like remit:tokens/tokens.revoke, without a version",
                    shown(name)
                );
                return wrong(key.span(), why);
            }
        }
        let at = key.span();
        functions.insert(key.into_inner(), function_of(raw, at)?);
    }
    let interfaces = interfaces.into_iter().map(Spanned::into_inner).collect();
    let check = raw.check.map(harmless).transpose()?;
    Ok(Description { about, interfaces, auth, check, functions })
}

/// The name of an interface without its version.
fn interface_of(text: &str) -> Option<&str> {
    let (bare, version) = text.split_once('@')?;
    let (namespace, rest) = bare.split_once(':')?;
    let (package, interface) = rest.split_once('/')?;
    let number = |part: &str| !part.is_empty() && part.len() < 6 && part.bytes().all(|b| b.is_ascii_digit());
    let sound = version.split('.').count() == 3 && version.split('.').all(number);
    (sound && [namespace, package, interface].into_iter().all(is_name)).then_some(bare)
}

fn function_of(raw: RawFunction, at: Range<usize>) -> Result<Function, Wrong> {
    let effect = *raw.effect.get_ref();
    let kind = raw.kind.get_ref();
    if kind.is_empty() || kind.len() > 64 || !kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') {
        return wrong(
            raw.kind.span(),
            format!("`{}` is not a kind: lower-case letters and `-`", shown(kind)),
        );
    }
    if RESERVED.contains(&kind.as_str()) {
        return wrong(raw.kind.span(), format!("the kind `{kind}` is the host's own"));
    }
    let path = path_of(&raw.path)?;
    lists(&raw, &at)?;
    effects(&raw, effect, &at)?;
    for template in raw.change.iter().chain(&raw.undo) {
        write(template)?;
    }
    for template in &raw.change {
        bound(template, &path, false)?;
    }
    for template in &raw.undo {
        bound(template, &path, true)?;
    }
    for template in &raw.reads {
        let method = template.get_ref().method;
        if !method.is_safe() && method.name() != "POST" {
            return wrong(template.span(), format!("a {} is not a read", method.name()));
        }
    }
    for template in raw.change.iter().chain(&raw.undo).chain(&raw.reads) {
        without_rest(template, &path)?;
    }
    let sealed = sealed_of(&raw, &path)?;
    for template in &raw.undo {
        without_sealed(template, &sealed)?;
    }
    for template in raw.change.iter().chain(&raw.undo).chain(&raw.reads) {
        variables(template, &sealed, !raw.secrets.is_empty())?;
    }
    for template in &raw.change {
        let mut all = template.get_ref().all_texts().flat_map(Text::variables);
        if all.any(|variable| matches!(variable, Variable::Got(_))) {
            return wrong(template.span(), "a change has no `{got.…}`: that is known only after it");
        }
    }
    let mut secrets = Vec::new();
    for pointer in &raw.secrets {
        match Pointer::parse(pointer.get_ref()) {
            Ok(parsed) => secrets.push(parsed),
            Err(why) => return wrong(pointer.span(), why),
        }
    }
    Ok(Function {
        effect,
        irrevocable_because: raw.irrevocable_because.map(Spanned::into_inner),
        kind: raw.kind.into_inner(),
        path,
        secrets,
        sealed,
        response_headers: response_headers(raw.response_headers)?,
        countermeasure: raw.countermeasure.map(countermeasure).transpose()?,
        cas: raw.cas,
        change: raw.change.into_iter().map(Spanned::into_inner).collect(),
        undo: raw.undo.into_iter().map(Spanned::into_inner).collect(),
        reads: raw.reads.into_iter().map(Spanned::into_inner).collect(),
    })
}

/// `{org}/{id}`, `{name**}`; nothing for the instance itself.
fn path_of(text: &Spanned<String>) -> Result<PathPattern, Wrong> {
    let mut names: Vec<String> = Vec::new();
    let all = text.get_ref();
    let one_by_one = all.strip_suffix("**}").map(|all| format!("{all}}}"));
    let rest = one_by_one.is_some();
    for segment in one_by_one.as_ref().unwrap_or(all).split('/').filter(|_| !all.is_empty()) {
        match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) if is_name(name) && !names.iter().any(|known| known == name) => {
                names.push(name.to_owned());
            }
            Some(name) if is_name(name) => return wrong(text.span(), format!("`{{{name}}}` is there twice")),
            _ => {
                let why = format!(
                    "`{}` is not the form of a path: write a name in braces for each segment after the instance, like {{org}}/{{id}}, or {{name**}} for all that is left",
                    shown(text.get_ref())
                );
                return wrong(text.span(), why);
            }
        }
    }
    if names.len() > 16 {
        return wrong(text.span(), "a path has at most 16 segments");
    }
    Ok(PathPattern { text: text.get_ref().clone(), names, rest })
}

fn lists(raw: &RawFunction, at: &Range<usize>) -> Result<(), Wrong> {
    let lengths = [
        raw.change.len(),
        raw.undo.len(),
        raw.reads.len(),
        raw.secrets.len(),
        raw.sealed.len(),
        raw.response_headers.len(),
    ];
    if lengths.into_iter().any(|length| length > MOST) {
        return wrong(at.clone(), format!("a list of a function has at most {MOST} elements"));
    }
    for list in [&raw.change, &raw.undo, &raw.reads] {
        for (number, template) in list.iter().enumerate() {
            if list[..number].iter().any(|earlier| earlier.get_ref() == template.get_ref()) {
                return wrong(template.span(), "this template is there twice");
            }
        }
    }
    Ok(())
}

/// What an effect needs, and what contradicts it.
fn effects(raw: &RawFunction, effect: Effect, at: &Range<usize>) -> Result<(), Wrong> {
    let first = |list: &[Spanned<Template>]| list.first().map(Spanned::span);
    let reason = raw.irrevocable_because.as_ref();
    match effect {
        Effect::Disclose => {
            wrong(raw.effect.span(), "a connector discloses nothing: observe, change or irrevocable")
        }
        Effect::Observe => {
            if let Some(at) = first(&raw.change).or_else(|| first(&raw.undo)) {
                return wrong(at, "the effect is `observe`, and here is something that it would change");
            }
            match &raw.countermeasure {
                Some(it) => wrong(it.span(), "who only observes is no countermeasure"),
                None if reason.is_some() => {
                    wrong(at.clone(), "`irrevocable_because` is for the effect `irrevocable`")
                }
                None => Ok(()),
            }
        }
        Effect::Change | Effect::Irrevocable if raw.change.is_empty() => wrong(
            at.clone(),
            format!("the effect is `{effect}`, and `change` has no template: nothing could be sent"),
        ),
        Effect::Change if raw.undo.is_empty() => wrong(
            at.clone(),
            "the effect is `change`, and `undo` has no template: say how it is taken back, or that it is `irrevocable`",
        ),
        Effect::Change if reason.is_some() => {
            wrong(at.clone(), "`irrevocable_because` is for the effect `irrevocable`")
        }
        Effect::Irrevocable => match (first(&raw.undo), reason) {
            (Some(at), _) => wrong(at, "the effect is `irrevocable`, and here is how it would be taken back"),
            (None, Some(reason)) if (1..=LONGEST_REASON).contains(&reason.get_ref().trim().len()) => Ok(()),
            (None, _) => wrong(
                at.clone(),
                "say in `irrevocable_because` why it cannot be taken back, in up to 500 bytes",
            ),
        },
        Effect::Change => Ok(()),
    }?;
    if raw.cas == Cas::Etag {
        for template in raw.change.iter().chain(&raw.undo) {
            if !template.get_ref().headers.contains_key("if-match") {
                return wrong(template.span(), "`cas` is `etag`, and this request has no header `if-match`");
            }
        }
    }
    Ok(())
}

/// The read by which an operator checks a credential: it is about nothing that a call could name.
fn harmless(check: Spanned<Template>) -> Result<Template, Wrong> {
    let it = check.get_ref();
    if !it.is_safe() {
        return wrong(check.span(), format!("a {} is not a check: only GET and HEAD are", it.method.name()));
    }
    if it.path.iter().any(|segment| !matches!(segment, Segment::Text(_))) || it.credential.is_some() {
        return wrong(check.span(), "a check has no wildcard and no credential of its own");
    }
    if it.all_texts().flat_map(Text::variables).any(|variable| !matches!(variable, Variable::Config(_))) {
        return wrong(
            check.span(),
            "a check has no variables but `{config.…}`: there is no call that it is part of",
        );
    }
    Ok(check.into_inner())
}

/// A request that changes something.
fn write(template: &Spanned<Template>) -> Result<(), Wrong> {
    let it = template.get_ref();
    if it.is_safe() {
        let why = format!("a {} changes nothing: it belongs into `reads`", it.method.name());
        return wrong(template.span(), why);
    }
    if it.path.iter().any(|segment| !matches!(segment, Segment::Text(_))) {
        return wrong(template.span(), "only reads have wildcards in their path");
    }
    Ok(())
}

/// A change names the thing that was approved: the last segment of the resource's path. An undo may name what the change made
/// instead.
fn bound(template: &Spanned<Template>, path: &PathPattern, is_undo: bool) -> Result<(), Wrong> {
    // The resource is the instance, and every request is to it.
    let Some(last) = path.names.last() else { return Ok(()) };
    let names_it = |variable: &Variable| {
        variable.argument() == Some(last) || (is_undo && matches!(variable, Variable::Got(_)))
    };
    if template.get_ref().all_texts().flat_map(Text::variables).any(names_it) {
        return Ok(());
    }
    let or_got = if is_undo { " or {got.…}" } else { "" };
    let why = format!(
        "it does not say which thing it is about: it needs {{{last}}}{or_got}, so that only what was approved is touched"
    );
    wrong(template.span(), why)
}

/// What stands for several segments is one text to a system that takes it so. In a path it would be another path.
fn without_rest(template: &Spanned<Template>, path: &PathPattern) -> Result<(), Wrong> {
    let Some(rest) = path.rest() else { return Ok(()) };
    let texts = template.get_ref().path.iter().filter_map(|segment| match segment {
        Segment::Text(text) => Some(text),
        Segment::One | Segment::Rest => None,
    });
    if texts.flat_map(Text::variables).any(|variable| variable.argument() == Some(rest)) {
        let why = format!("`{{{rest}}}` has slashes in it, and cannot be in the path of a request");
        return wrong(template.span(), why);
    }
    Ok(())
}

fn response_headers(names: Vec<Spanned<String>>) -> Result<Vec<String>, Wrong> {
    let each = |name: Spanned<String>| {
        let text = name.get_ref();
        let form = !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !form {
            return wrong(
                name.span(),
                format!("`{}` is not the name of a header in lower case", shown(text)),
            );
        }
        if text.starts_with("set-cookie") || text.contains("auth") {
            return wrong(name.span(), format!("no connector sees the header `{text}`"));
        }
        Ok(name.into_inner())
    };
    names.into_iter().map(each).collect()
}

fn countermeasure(name: Spanned<String>) -> Result<Countermeasure, Wrong> {
    use Countermeasure::{Evict, Harden, Isolate, Restore};
    let known = [Isolate, Evict, Restore, Harden].into_iter();
    match known.into_iter().find(|known| known.name().to_ascii_lowercase() == *name.get_ref()) {
        Some(known) => Ok(known),
        None => {
            let why = format!(
                "`{}` is no countermeasure: isolate, evict, restore or harden",
                shown(name.get_ref())
            );
            wrong(name.span(), why)
        }
    }
}
