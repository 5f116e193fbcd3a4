//! A Go template of K3s or RKE2, from which containerd's root file is rendered. It is text, not TOML: what is ours stands
//! between two lines that nobody else writes.

/// The template that K3s takes when there is none (`templates.ContainerdConfigTemplate`): all of its own, to which the
/// rest of ours is added. Copying the rendered file instead would freeze every default of the day (kata#12488).
const BASE: &str = "{{ template \"base\" . }}\n";

const BEGIN: &str = "# Begin of what slipway-node-installer wrote, which removes it when the node is uninstalled.\n";
const END: &str = "# End of what slipway-node-installer wrote.\n";

/// Whether a file is such a template.
pub fn is_template(path: &std::path::Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "tmpl")
}

/// A template with tables at its end; `None` is one that does not exist.
pub fn add(template: Option<&str>, tables: &str) -> String {
    let mut text = template.unwrap_or(BASE).to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(BEGIN);
    text.push_str(&escape(tables.trim_start_matches('\n')));
    text.push_str(END);
    text
}

/// A template without what is ours.
pub fn withdraw(template: &str) -> String {
    let mut rest = template;
    let mut text = String::with_capacity(template.len());
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let Some((_, after)) = after.split_once(END) else {
            break;
        };
        text.push_str(before);
        rest = after;
    }
    text.push_str(rest);
    text
}

/// Whether a template says no more than the distribution says without one.
pub fn is_bare(template: &str) -> bool {
    template.trim().is_empty() || template.trim() == BASE.trim()
}

/// Nothing of ours is an action of the template language.
fn escape(tables: &str) -> String {
    tables.replace("{{", "{{ \"{{\" }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = "\n[plugins.a]\nb = 1\n";

    #[test]
    fn a_new_template_is_the_distributions_own_and_ours() {
        let text = add(None, TABLES);
        assert_eq!(text, format!("{BASE}{BEGIN}[plugins.a]\nb = 1\n{END}"));
        assert!(is_bare(&withdraw(&text)));
    }

    #[test]
    fn what_stood_there_before_or_came_after_stays() {
        let theirs = "{{ template \"base\" . }}\n[plugins.x]\n  y = {{ .NodeConfig.Z }}\n";
        let text = add(Some(theirs), TABLES);
        assert_eq!(withdraw(&text), theirs);
        assert_eq!(
            withdraw(&format!("{text}# later\n")),
            format!("{theirs}# later\n")
        );
        assert!(!is_bare(theirs));
    }

    #[test]
    fn a_block_whose_end_is_gone_is_left_to_people() {
        let broken = format!("a\n{BEGIN}[plugins.a]\n");
        assert_eq!(withdraw(&broken), broken);
    }

    #[test]
    fn braces_are_text() {
        assert!(add(None, "x = \"{{ .Y }}\"\n").contains("x = \"{{ \"{{\" }} .Y }}\""));
    }
}
