//! Where the variables of a template may be, and above all those that are secret.

use toml::Spanned;

use super::PathPattern;
use super::check::{RawFunction, Wrong, wrong};
use crate::Template;
use crate::pointer::shown;
use crate::template::{Body, Segment, Text, Variable, is_name};

/// The parameters that are handles.
pub(super) fn sealed_of(raw: &RawFunction, path: &PathPattern) -> Result<Vec<String>, Wrong> {
    let mut sealed: Vec<String> = Vec::new();
    for name in &raw.sealed {
        let text = name.get_ref();
        if !is_name(text) || path.names.contains(text) || sealed.contains(text) {
            let why = format!("`{}` is not a parameter of its own", shown(text));
            return wrong(name.span(), why);
        }
        let uses = |template: &Spanned<Template>| {
            let it = template.get_ref();
            let mut all = it.all_texts().flat_map(Text::variables);
            all.any(|variable| variable.argument() == Some(text)) || it.credential.as_ref() == Some(text)
        };
        if !raw.change.iter().chain(&raw.undo).chain(&raw.reads).any(uses) {
            return wrong(
                name.span(),
                format!("no template has `{{{}}}` in its body or as its credential", shown(text)),
            );
        }
        sealed.push(text.clone());
    }
    Ok(sealed)
}

/// Each variable is where it can be filled, and each secret where it may be sent.
pub(super) fn variables(
    template: &Spanned<Template>,
    sealed: &[String],
    has_secrets: bool,
) -> Result<(), Wrong> {
    let it = template.get_ref();
    let (outside, inside) = it.texts();
    let is_sealed =
        |variable: &Variable| variable.argument().is_some_and(|name| sealed.iter().any(|s| s == name));
    let is_json = matches!(it.body, Some(Body::Json(_)));
    for text in &outside {
        for variable in text.variables() {
            let why = match variable {
                Variable::Secret => "a secret is sent in a body only",
                Variable::Null => "only JSON has `null`",
                variable if variable.is_number() => "only JSON tells numbers from texts",
                variable if is_sealed(variable) => {
                    "a sealed argument is sent in a body only, or as `credential`"
                }
                _ => continue,
            };
            return wrong(template.span(), format!("`{variable}`: {why}"));
        }
    }
    for segment in &it.path {
        if let Segment::Text(text) = segment
            && text.variables().any(|variable| *variable == Variable::Any)
        {
            return wrong(template.span(), "in a path, any segment is `*`, and only in reads");
        }
    }
    for text in &inside {
        for variable in text.variables() {
            let why = match variable {
                Variable::Secret if !has_secrets => "`secrets` of the function names none",
                Variable::Null if !is_json => "only JSON has `null`",
                variable if variable.is_number() && !is_json => "only JSON tells numbers from texts",
                variable if is_sealed(variable) && !stands_alone(text, variable) => {
                    "a sealed argument stands alone, without other text or a field of it"
                }
                _ => continue,
            };
            return wrong(template.span(), format!("`{variable}`: {why}"));
        }
    }
    match &it.credential {
        Some(name) if !sealed.contains(name) => {
            wrong(template.span(), format!("the credential `{{{name}}}` is not one of `sealed`"))
        }
        _ => Ok(()),
    }
}

/// A sealed argument is kept only while something can start with it: an undo that needed it could not be promised.
pub(super) fn without_sealed(template: &Spanned<Template>, sealed: &[String]) -> Result<(), Wrong> {
    let it = template.get_ref();
    let named = it.all_texts().flat_map(Text::variables).filter_map(Variable::argument);
    match named.chain(it.credential.as_deref()).find(|name| sealed.iter().any(|sealed| sealed == name)) {
        Some(name) => wrong(
            template.span(),
            format!("an undo cannot have the sealed argument `{name}`, which is not kept until then"),
        ),
        None => Ok(()),
    }
}

fn stands_alone(text: &Text, variable: &Variable) -> bool {
    let is_plain = matches!(variable, Variable::Argument { steps, number: false } if steps.len() == 1);
    is_plain && text.whole().is_some()
}
