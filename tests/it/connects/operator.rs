//! An operator with one account and one user, as `nsc` makes them: the configuration of a server that trusts it, and
//! the login of the user.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

pub(super) struct Operator {
    jwt: String,
    account: String,
    account_jwt: String,
    user: KeyPair,
    user_jwt: String,
}

impl Operator {
    pub(super) fn new() -> Self {
        let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
        let user = KeyPair::new_user();
        let limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
            "leaf": -1,
        });
        let of_account = json!({ "type": "account", "version": 2, "limits": limits });
        let of_user =
            json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
        let of_operator = json!({ "type": "operator", "version": 2 });
        Self {
            jwt: signed(&operator, &operator.public_key(), &of_operator),
            account_jwt: signed(&operator, &account.public_key(), &of_account),
            user_jwt: signed(&account, &user.public_key(), &of_user),
            account: account.public_key(),
            user,
        }
    }

    /// Lines for a server that trusts this operator.
    pub(super) fn config(&self) -> String {
        let Self {
            jwt,
            account,
            account_jwt,
            ..
        } = self;
        format!(
            "operator: {jwt}\nresolver: MEMORY\nresolver_preload: {{ {account}: {account_jwt} }}"
        )
    }

    /// JWT of the user.
    pub(super) fn user_jwt(&self) -> &str {
        &self.user_jwt
    }

    /// Signs a nonce as the user.
    pub(super) fn sign(&self, nonce: &[u8]) -> Vec<u8> {
        self.user.sign(nonce).unwrap()
    }

    /// Text of the user's credentials file.
    pub(super) fn credentials(&self) -> String {
        let (jwt, seed) = (&self.user_jwt, self.user.seed().unwrap());
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

/// Returns the JWT with which `issuer` names `subject`.
fn signed(issuer: &KeyPair, subject: &str, of_nats: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(&json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let claims = part(&json!({
        "jti": subject, "iat": 1_700_000_000, "iss": issuer.public_key(), "sub": subject, "name": "micro",
        "nats": of_nats,
    }));
    let text = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}
