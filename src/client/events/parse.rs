//! Server-sent events, of lines.

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub id: Option<String>,
    pub name: String,
    pub data: String,
}

#[derive(Debug, Default)]
pub struct Parser {
    begun: Told,
}

impl Parser {
    /// Takes one line, without its end; an empty one ends an event.
    pub fn line(&mut self, line: &str) -> Option<Told> {
        if line.is_empty() {
            let told = std::mem::take(&mut self.begun);
            return (!told.data.is_empty()).then_some(told);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.begun.name),
            "id" => self.begun.id = Some(value.to_owned()),
            "data" if self.begun.data.is_empty() => value.clone_into(&mut self.begun.data),
            "data" => self.begun.data += &format!("\n{value}"),
            // A comment, `retry`, or what a later version says.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_unknown_fields_are_no_events() {
        let text = "retry: 2000\n\n:\n\nid: p.1\nevent: member\ndata: {\"a\":\ndata: 1}\n\nevent: control\n\nlater: x\ndata:y\n\n";
        let mut parser = Parser::default();
        let told: Vec<Told> = text.lines().filter_map(|line| parser.line(line)).collect();
        let event = |id: Option<&str>, name: &str, data: &str| Told {
            id: id.map(str::to_owned),
            name: name.to_owned(),
            data: data.to_owned(),
        };
        assert_eq!(told, [event(Some("p.1"), "member", "{\"a\":\n1}"), event(None, "", "y")]);
    }
}
