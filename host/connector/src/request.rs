//! What a connector asks to be sent, and what it is answered.

/// A request, as the connector gives it: nothing is encoded.
#[derive(Clone, Default)]
pub struct Request {
    /// `GET`, `HEAD`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// The segments of the path.
    pub path: Vec<String>,
    /// The pairs of the query.
    pub query: Vec<(String, String)>,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// The handle of the sealed argument that is sent as the credential.
    pub credential: Option<String>,
}

/// What the origin answered, without what the connector may not see.
#[derive(Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}
