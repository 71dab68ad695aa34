//! The XML that AWS answers, as a tree of elements with texts. Attributes and namespaces say nothing there.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

/// How deep elements may be within each other.
const DEEPEST: usize = 16;

/// An element: its name without a prefix, the text directly in it, and the elements directly in it, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// The first element in it with this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The elements in it with this name.
    pub(crate) fn children<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the first element in it with this name, if it has one.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.child(name).and_then(Self::own_text)
    }

    /// The text directly in it, if there is one.
    pub(crate) fn own_text(&self) -> Option<&str> {
        Some(self.text.trim()).filter(|text| !text.is_empty())
    }
}

/// The text is not one document in well-formed XML, or has what no answer of AWS has: a document type, an entity of its own.
#[derive(Debug, PartialEq)]
pub(crate) struct NotXml;

/// Reads a document.
pub(crate) fn read(bytes: &[u8]) -> Result<Element, NotXml> {
    let mut reader = Reader::from_str(std::str::from_utf8(bytes).map_err(|_| NotXml)?);
    // The first stands for the document, and has the one element of it.
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event().map_err(|_| NotXml)? {
            Event::Start(start) => {
                if open.len() > DEEPEST {
                    return Err(NotXml);
                }
                open.push(named(&start)?);
            }
            Event::Empty(empty) => {
                let element = named(&empty)?;
                top(&mut open)?.children.push(element);
            }
            Event::End(_) => {
                let element = open.pop().ok_or(NotXml)?;
                top(&mut open)?.children.push(element);
            }
            Event::Text(text) => top(&mut open)?.text.push_str(&text.xml10_content().map_err(|_| NotXml)?),
            Event::CData(data) => top(&mut open)?.text.push_str(&data.decode().map_err(|_| NotXml)?),
            Event::GeneralRef(reference) => {
                let text = &mut top(&mut open)?.text;
                match reference.resolve_char_ref().map_err(|_| NotXml)? {
                    Some(character) => text.push(character),
                    None => {
                        let name = reference.decode().map_err(|_| NotXml)?;
                        text.push_str(resolve_predefined_entity(&name).ok_or(NotXml)?);
                    }
                }
            }
            Event::DocType(_) => return Err(NotXml),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    match (open.pop(), open.pop()) {
        (Some(document), None) if document.text.trim().is_empty() => {
            let [root] = <[Element; 1]>::try_from(document.children).map_err(|_| NotXml)?;
            Ok(root)
        }
        // One that is not closed, two at the top, or text around it.
        _ => Err(NotXml),
    }
}

fn named(start: &BytesStart<'_>) -> Result<Element, NotXml> {
    let name = std::str::from_utf8(start.local_name().into_inner()).map_err(|_| NotXml)?.to_owned();
    Ok(Element { name, ..Element::default() })
}

fn top(open: &mut [Element]) -> Result<&mut Element, NotXml> {
    open.last_mut().ok_or(NotXml)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_does_not_confuse() {
        let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- <Status>Active</Status> -->\n\
            <a:Response xmlns:a=\"urn:x\">\n  <Key x='>'><!-- no --><Id>AK<![CDATA[IA<1>]]>&amp;&#65;&#x42;<!-- --></Id><?pi?>\
            <None/><Void></Void></Key><Key><Id>2</Id></Key></a:Response>\n";
        let root = read(text.as_bytes()).unwrap();
        let key = root.child("Key").unwrap();
        assert_eq!(key.text("Id"), Some("AKIA<1>&AB"));
        assert_eq!((key.text("None"), key.text("Void"), key.text("Status")), (None, None, None));
        assert_eq!(root.children("Key").filter_map(|key| key.text("Id")).count(), 2);
    }

    #[test]
    fn what_is_no_answer_of_aws_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(20), "</a>".repeat(20));
        for text in [
            "",
            "text",
            "{\"a\":1}",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>text",
            "</a>",
            "<a>&own;</a>",
            "<!DOCTYPE a [<!ENTITY own 'x'>]><a>&own;</a>",
            "<a>&#xFFFFFF;</a>",
            &deep,
        ] {
            assert_eq!(read(text.as_bytes()), Err(NotXml), "{text}");
        }
        assert_eq!(read(b"<a>\xff</a>"), Err(NotXml));
    }
}
