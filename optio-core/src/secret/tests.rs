//! What is masked, and what is not.

use super::*;

#[test]
fn known_values_and_token_shapes_are_masked() {
    let secrets = [
        Secret::new("hunter2-hunter2"),
        Secret::new("line one\nline two"),
        Secret::new("a\"quote\"d"),
        Secret::new("short"),
    ];
    let masker = Masker::new(&secrets);
    assert_eq!(
        masker.mask("pass hunter2-hunter2 short line two"),
        "pass *** short ***"
    );
    assert_eq!(masker.mask(r#"{"x":"a\"quote\"d"}"#), r#"{"x":"***"}"#);
    assert_eq!(
        masker.mask("token ghp_0123456789abcdefghijABCDEFGHIJ here"),
        "token *** here"
    );
    assert_eq!(format!("{:?}", secrets[0]), "***");
}

#[test]
fn of_a_url_only_the_password_is_masked() {
    let masker = Masker::default();
    let rows = [
        (
            "clone https://ada:pa55@git.example/a/b.git now",
            "clone https://ada:***@git.example/a/b.git now",
        ),
        (
            "postgres://app:p:w@db:5432/optio",
            "postgres://app:***@db:5432/optio",
        ),
        (
            "https://x-access-token:ghs_0123456789abcdefghij@github.com/a/b",
            "https://x-access-token:***@github.com/a/b",
        ),
        (
            "https://git.example:8443/@ada",
            "https://git.example:8443/@ada",
        ),
        (
            "git@github.com:acme/shop.git",
            "git@github.com:acme/shop.git",
        ),
        (
            "http://localhost:3000 by ada@example.org",
            "http://localhost:3000 by ada@example.org",
        ),
    ];
    for (text, masked) in rows {
        assert_eq!(masker.mask(text), masked);
    }
}

#[test]
fn of_two_that_begin_alike_the_longer_one_is_masked_whole() {
    let secrets = ["abcdef", "abcdefgh", "abcdef"].map(Secret::new);
    assert_eq!(Masker::new(&secrets).mask("abcdefgh abcdef"), "*** ***");
}

#[test]
fn a_secret_of_any_size_is_masked() {
    let huge = "0123456789abcdef".repeat(40_000);
    let masker = Masker::new(&[Secret::new(huge.as_str()), Secret::new("hunter2")]);
    assert_eq!(masker.mask(&format!("a {huge} b hunter2")), "a *** b ***");
}

/// Which of these words a mask for one secret hides.
fn hidden<'w>(secret: &str, words: &[&'w str]) -> Vec<&'w str> {
    let masker = Masker::new(&[Secret::new(secret)]);
    let is_hidden = |word: &&&str| masker.mask(&format!("<{word}>")) == "<***>";
    words.iter().filter(is_hidden).copied().collect()
}

#[test]
fn of_mcp_servers_the_keys_are_masked_and_nothing_that_a_log_needs() {
    let servers = r#"{"mcpServers": {
        "documents": {
            "command": "docs-server",
            "args": ["--header", "Authorization: Bearer 0123456789abcdef0123", "@acme/docs-server@1.2.3"],
            "env": {
                "DOCS_KEY": "correct-horse", "LOG_LEVEL": "everything", "NODE_ENV": "production",
                "CACHE": "/var/cache/docs", "LICENCE": "Xy7-99-kQ2", "API": "https://docs.example/api",
                "DATABASE_URL": "postgres://docs:battery-staple@db/docs"
            }
        },
        "shopping": {
            "type": "streamable-http",
            "url": "https://shop.example/mcp?api_key=abcd-efgh-ijkl&page=frontpage",
            "headers": {"Authorization": "Bearer the-token-of-the-shop", "Accept": "application/json"}
        }
    }}"#;
    let words = [
        "correct-horse",
        "Xy7-99-kQ2",
        "battery-staple",
        "0123456789abcdef0123",
        "abcd-efgh-ijkl",
        "the-token-of-the-shop",
        "Bearer the-token-of-the-shop",
        // and these stay
        "documents",
        "docs-server",
        "@acme/docs-server@1.2.3",
        "everything",
        "production",
        "/var/cache/docs",
        "https://docs.example/api",
        "streamable-http",
        "https://shop.example/mcp",
        "frontpage",
        "application/json",
        "Authorization",
    ];
    assert_eq!(hidden(servers, &words), words[..7]);
    let one_line = servers.replace('\n', "");
    assert_eq!(hidden(&one_line, &words), words[..7]);
    assert_eq!(hidden(&one_line, &[&*one_line]), [&*one_line], "and whole");
}

#[test]
fn of_a_login_every_token_is_masked_by_itself() {
    // each secret, what is masked of it, and what is not
    let rows: [(&str, &[&str], &[&str]); 4] = [
        (
            r#"{"access_token":"ya29.first","refresh_token":"1//second","scope":"https://www.googleapis.com/auth/cloud-platform","token_type":"Bearer","expiry_date":1790000000000}"#,
            &["ya29.first", "1//second"],
            &[
                "https://www.googleapis.com/auth/cloud-platform",
                "1790000000000",
            ],
        ),
        (
            r#"{"type":"service_account","project_id":"shop-production-2026","private_key":"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----\n","client_email":"bot@shop-production-2026.iam.gserviceaccount.com","client_id":"118208321345092841733","token_uri":"https://oauth2.googleapis.com/token"}"#,
            &["MIIEvQIBADANBg", "kqhkiG9w0BAQEF"],
            &[
                "service_account",
                "shop-production-2026",
                "bot@shop-production-2026.iam.gserviceaccount.com",
                "118208321345092841733",
                "https://oauth2.googleapis.com/token",
                "-----BEGIN PRIVATE KEY-----",
            ],
        ),
        (
            r#"{"anthropic":{"type":"oauth","refresh":"the-refresh","access":"the-access"},"openai":{"type":"api","key":"the-api-key"}}"#,
            &["the-refresh", "the-access", "the-api-key"],
            &["anthropic"],
        ),
        (
            r#"{"auth_mode":"personal-login","OPENAI_API_KEY":null,"tokens":{"id":"eyJhbGciOiJSUzI1NiIs.eyJzdWIiOiIxMjM0NTY3","account_id":"7cc437f3-6b70-4bd6-9e47-b71096f0167d"},"model":"claude-sonnet-4-5-20250929","nested":"{\"password\":\"from-within\"}"}"#,
            &["eyJhbGciOiJSUzI1NiIs.eyJzdWIiOiIxMjM0NTY3", "from-within"],
            &[
                "personal-login",
                "7cc437f3-6b70-4bd6-9e47-b71096f0167d",
                "claude-sonnet-4-5-20250929",
            ],
        ),
    ];
    for (secret, masked, kept) in rows {
        assert_eq!(hidden(secret, masked), masked);
        assert_eq!(hidden(secret, kept), NONE);
    }
}

const NONE: [&str; 0] = [];

#[test]
fn what_only_looks_like_json_is_masked_as_it_is() {
    for secret in ["1234567890", "\"in quotes\"", "{not json", "[[[[[["] {
        assert_eq!(hidden(secret, &[secret]), [secret]);
    }
}
