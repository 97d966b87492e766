//! The two pages for people: what is sold here, and what one item costs. No script, nothing loaded from elsewhere.

use crate::realm::Realm;
use axum::http::request::Parts;
use farthing_core::Token;
use farthing_core::wire::Problem;
use farthing_core::wire::listing::{ListedItem, Listing};
use std::fmt::Write;

const STYLE: &str = "body{font:17px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;\
    color:#222;background:#fdfcf9}h1{font-size:1.6rem}li{margin:1.2rem 0}code{background:#eee9dd;padding:.2rem .4rem;\
    border-radius:.2rem;overflow-wrap:anywhere}.price{font-weight:600}small{color:#666}ul{list-style:none;padding:0}\
    @media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1a17}code{background:#33302a}small{color:#999}}";

/// The address of a path as the client knows this origin. Only shown to people: a client can't be sent elsewhere by it.
pub(crate) fn address(request: &Parts, realm: Option<&Realm>, path: &str) -> String {
    let Some(realm) = realm else { return path.to_owned() };
    let forwarded = request.headers.get("x-forwarded-proto").and_then(|field| field.to_str().ok());
    let scheme = match forwarded {
        Some("https") => "https",
        Some("http") => "http",
        // A name without a port is behind a proxy, and a proxy speaks TLS.
        _ if realm.is_public_name() => "https",
        _ => "http",
    };
    format!("{scheme}://{realm}{path}")
}

/// What stands on the page of a 402.
pub(crate) struct PaymentPage<'a> {
    pub(crate) title: &'a str,
    /// The price, as people read it.
    pub(crate) price: String,
    /// The item's address.
    pub(crate) address: &'a str,
    /// Why it is not served.
    pub(crate) problem: &'a Problem,
}

impl PaymentPage<'_> {
    pub(crate) fn to_html(&self) -> String {
        let title = escape(self.title);
        let body = format!(
            "<h1>{title}</h1>\n<p class=\"price\">{price}</p>\n<p>{detail}</p>\n\
             <p>To buy it:</p>\n<p><code>farthing get {command}</code></p>\n\
             <p><small>You pay for this one item, with no account and no subscription here. \
             What you deposited and did not spend stays yours.</small></p>",
            price = escape(&self.price),
            detail = escape(&self.problem.detail),
            command = escape(&shell_word(self.address)),
        );
        document(&title, &body)
    }
}

/// The page at `/`: everything that is sold, with its price and the command that buys it.
pub(crate) fn index(listing: &Listing, token: &Token, address: impl Fn(&str) -> String) -> String {
    let name = escape(&listing.name);
    let mut body = format!("<h1>{name}</h1>\n");
    if let Some(description) = &listing.description {
        paragraph(&mut body, description);
    }
    body.push_str("<ul>\n");
    for item in &listing.items {
        entry(&mut body, item, &token.format(item.price), &format!("get {}", shell_word(&address(&item.path))));
    }
    if let Some(tip) = &listing.tip {
        let least = token.format(tip.price);
        let command = format!("tip {} {}", shell_word(&address(&tip.path)), shell_word(&least));
        entry(&mut body, tip, &format!("{least} or more"), &command);
    }
    body.push_str("</ul>\n");
    document(&name, &body)
}

fn entry(body: &mut String, item: &ListedItem, price: &str, command: &str) {
    let _ = writeln!(
        body,
        "<li><b>{title}</b> <span class=\"price\">{price}</span><br>",
        title = escape(&item.title),
        price = escape(price),
    );
    if let Some(description) = &item.description {
        let _ = writeln!(body, "{}<br>", escape(description));
    }
    let _ = writeln!(body, "<code>farthing {}</code></li>", escape(command));
}

fn paragraph(body: &mut String, text: &str) {
    let _ = writeln!(body, "<p>{}</p>", escape(text));
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A word that a shell takes as it stands: people copy these commands, and a path may come from whoever made a link.
fn shell_word(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-._~/:%+=@,".contains(character);
    if text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "%27"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_core::wire::ProblemType;

    #[test]
    fn a_page_runs_nothing_that_a_title_or_a_path_brings() {
        let problem = Problem::new(ProblemType::PaymentRequired, "<b>detail</b>");
        let page = PaymentPage {
            title: "<script>alert(1)</script>",
            price: "$0.50".to_owned(),
            address: "http://localhost:8402/a'$(reboot)\"",
            problem: &problem,
        };
        let html = page.to_html();
        assert!(!html.contains("<script") && !html.contains("<b>detail"));
        assert!(html.contains("farthing get &#39;http://localhost:8402/a%27$(reboot)&quot;&#39;"), "{html}");
        assert!(html.contains("$0.50"));
    }

    #[test]
    fn a_plain_address_needs_no_quotes() {
        assert_eq!(shell_word("http://[::1]:8402/songs/x"), "'http://[::1]:8402/songs/x'");
        assert_eq!(shell_word("https://music.example/songs/x"), "https://music.example/songs/x");
    }
}
