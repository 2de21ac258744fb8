//! What a node fetches over HTTP for its machine: vectors from an embedding service, words of a language model, verdicts of
//! a classifier, results of tools that were registered with an endpoint.
//!
//! Services are the operator's settings; a tool's endpoint comes from whoever registered it, so its host has to be on the
//! operator's list, redirects are not followed, and a name that leads to a private address is refused unless the list says
//! so. Every exchange has 30 s and 4 MiB.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use hyperspace_protocol::primitive::{self, Fetch, Fetched, Source};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url, redirect};
use serde::Deserialize;

/// How long an exchange may take: as long as the machine waits for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes of a response's body (our choice: 1,000 vectors of 384 numbers).
const BODY_MAX: usize = 4 << 20;

/// Whom a node may ask outside the network. By default nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutsideConfig {
    /// An OpenAI-compatible `/v1/embeddings`, instead of the built-in feature hashing.
    pub embedder: Option<Service>,
    /// An OpenAI-compatible `/v1/chat/completions`, for `learning.reflect`.
    pub model: Option<Service>,
    /// Most answers of the model kept, to be given again when just the same is asked, whatever model is named then; 0, the
    /// default, to ask every time.
    #[serde(default)]
    pub model_answers: u64,
    /// A content classifier, for `guard.checkSafety`: gets `{content}`, answers `{flags: []}`.
    pub classifier: Option<Service>,
    /// Hosts whose endpoints tools may be registered with: names or addresses, without port.
    #[serde(default)]
    pub tool_hosts: Vec<String>,
    /// Those of them that may be in a private network.
    #[serde(default)]
    pub private_hosts: Vec<String>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Where it is.
    pub url: String,
    /// A file with the key that it wants as a bearer token.
    pub key_file: Option<PathBuf>,
    /// The `model` that requests name, for services that have several.
    pub model: Option<String>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// Not a URL, or of another scheme.
    #[error("outside: {0:?} is not an http or https URL")]
    Url(String),
    /// A key file that cannot be read.
    #[error("outside: cannot read the key file {}: {error}", path.display())]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// No TLS.
    #[error("outside: {0}")]
    Client(#[from] reqwest::Error),
}

#[derive(Debug)]
struct Endpoint {
    url: Url,
    key: Option<String>,
    model: Option<String>,
}

/// Carries out a machine's [`Fetch`]es.
#[derive(Debug)]
pub struct Outside {
    /// For the operator's own services.
    services: Client,
    /// For tools' endpoints, which are somebody else's choice.
    tools: Client,
    embedder: Option<Endpoint>,
    model: Option<Endpoint>,
    classifier: Option<Endpoint>,
    tool_hosts: Vec<String>,
}

impl OutsideConfig {
    /// The same with relative paths taken from a folder.
    #[must_use]
    pub fn under(mut self, base: &Path) -> Self {
        for service in [&mut self.embedder, &mut self.model, &mut self.classifier].into_iter().flatten() {
            service.key_file = service.key_file.take().map(|path| base.join(path));
        }
        self
    }

    /// Tells the primitives which services there are.
    pub const fn tell(&self, config: &mut primitive::Config) {
        if self.embedder.is_some() {
            config.memory.embedder = primitive::memory::Embedder::External;
        }
        config.guard.classifier = self.classifier.is_some();
        config.learning.model = self.model.is_some();
        config.learning.answers_max = self.model_answers;
    }
}

impl Outside {
    /// Reads the settings, and the keys that they name.
    ///
    /// # Errors
    /// See [`OutsideError`].
    pub fn new(config: &OutsideConfig) -> Result<Self, OutsideError> {
        crypto_provider();
        let builder = || Client::builder().timeout(PATIENCE).redirect(redirect::Policy::none());
        let private = config.private_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Ok(Self {
            services: builder().build()?,
            tools: builder().no_proxy().dns_resolver(Arc::new(Public { private })).build()?,
            embedder: config.embedder.as_ref().map(endpoint).transpose()?,
            model: config.model.as_ref().map(endpoint).transpose()?,
            classifier: config.classifier.as_ref().map(endpoint).transpose()?,
            tool_hosts: config.tool_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        })
    }

    /// Asks, and returns the body of a response of success.
    pub async fn fetch(&self, fetch: &Fetch) -> Fetched {
        match self.try_fetch(fetch).await {
            Ok(body) => Ok(body.into()),
            Err(problem) => Err(problem.into()),
        }
    }

    async fn try_fetch(&self, fetch: &Fetch) -> Result<String, String> {
        let (endpoint, what) = match &fetch.from {
            Source::Embedder => (&self.embedder, "embedding service"),
            Source::Model => (&self.model, "language model"),
            Source::Classifier => (&self.classifier, "classifier"),
            Source::Tool(url) => {
                let request = self.tools.post(self.tool_url(url)?);
                return exchange(request.body(fetch.body.to_string())).await;
            }
        };
        let Some(endpoint) = endpoint else { return Err(format!("this node has no {what}")) };
        let mut request = self.services.post(endpoint.url.clone());
        if let Some(key) = &endpoint.key {
            request = request.bearer_auth(key);
        }
        exchange(request.body(with_model(&fetch.body, endpoint.model.as_deref())?)).await
    }

    fn tool_url(&self, text: &str) -> Result<Url, String> {
        let url = parse(text).map_err(|error| error.to_string())?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        if !self.tool_hosts.contains(&host) {
            return Err(format!("the operator does not allow tools at {host}"));
        }
        Ok(url)
    }
}

/// Installs `ring` as the one provider of TLS's cryptography, unless that has happened.
pub fn crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Somebody else's choice, made before, is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

fn parse(text: &str) -> Result<Url, OutsideError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| OutsideError::Url(text.to_owned()))
}

fn endpoint(service: &Service) -> Result<Endpoint, OutsideError> {
    let key = match &service.key_file {
        Some(path) => {
            let read = std::fs::read_to_string(path);
            let text = read.map_err(|error| OutsideError::Key { path: path.clone(), error })?;
            Some(text.trim().to_owned())
        }
        None => None,
    };
    Ok(Endpoint { url: parse(&service.url)?, key, model: service.model.clone() })
}

/// The body with the operator's model in the place of the machine's.
fn with_model(body: &str, model: Option<&str>) -> Result<String, String> {
    let Some(model) = model else { return Ok(body.to_owned()) };
    let mut members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(body).map_err(|error| error.to_string())?;
    members.insert("model".to_owned(), model.into());
    Ok(serde_json::Value::Object(members).to_string())
}

async fn exchange(request: reqwest::RequestBuilder) -> Result<String, String> {
    let request = request.header("content-type", "application/json");
    let mut response = request.send().await.map_err(|error| reason(&error))?;
    if !response.status().is_success() {
        return Err(format!("it answered {}", response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| reason(&error))? {
        if body.len() + chunk.len() > BODY_MAX {
            return Err(format!("its answer has more than {BODY_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).map_err(|_| "its answer is not UTF-8".to_owned())
}

/// The last cause: the ones before only say that something went wrong.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Looks names up, and leaves out private addresses.
#[derive(Debug)]
struct Public {
    private: Vec<String>,
}

impl Resolve for Public {
    fn resolve(&self, name: Name) -> Resolving {
        let any = self.private.contains(&name.as_str().to_ascii_lowercase());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.filter(|address| any || is_public(address.ip())).collect();
            if found.is_empty() {
                return Err(format!("{} has no public address", name.as_str()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is out in the open: neither loopback, private, link-local (the metadata services of clouds), shared,
/// multicast nor unspecified, also when it is written inside an IPv6 address.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            !(ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_broadcast()
                || ip.is_multicast()
                || a == 0
                || a == 100 && b & 0xc0 == 64
                // Protocol assignments (RFC 6890), benchmarks (RFC 2544), reserved (RFC 1112).
                || [a, b, c] == [192, 0, 0]
                || a == 198 && b & 0xfe == 18
                || a >= 240)
        }
        IpAddr::V6(ip) => {
            let [first, second, ..] = ip.segments();
            let inside =
                ip.to_ipv4_mapped().or_else(|| ip.to_ipv4().filter(|_| ip.segments()[..6] == [0; 6]));
            // Gateways to IPv4 (NAT64, RFC 6052 and 8215; 6to4, RFC 3056): a public address has no need of them.
            let gateway = first == 0x64 && second == 0xff9b || first == 0x2002;
            inside.is_none_or(|ip| is_public(ip.into()))
                && !(gateway
                    || ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_multicast()
                    || first & 0xfe00 == 0xfc00
                    || first & 0xffc0 == 0xfe80)
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::post;
    use hyperspace_protocol::primitive::CallId;

    use super::*;

    async fn serve() -> SocketAddr {
        let app = Router::new()
            .route(
                "/echo",
                post(|headers: axum::http::HeaderMap, body: String| async move {
                    let key = headers
                        .get("authorization")
                        .and_then(|v| v.to_str().ok())
                        .unwrap_or_default()
                        .to_owned();
                    format!("{key}{body}")
                }),
            )
            .route("/fails", post(|| async { StatusCode::IM_A_TEAPOT }))
            .route("/moves", post(|| async { axum::response::Redirect::temporary("/echo") }))
            .route("/huge", post(|| async { "x".repeat(BODY_MAX + 1) }))
            .route("/bytes", post(|| async { vec![0xff_u8, 0xfe] }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    fn tool(url: String) -> Fetch {
        Fetch { id: CallId(1), from: Source::Tool(url.into()), body: "{}".into() }
    }

    #[tokio::test]
    async fn endpoints_of_tools_are_on_the_list_or_not_asked() {
        let at = serve().await;
        let config =
            OutsideConfig { tool_hosts: vec!["127.0.0.1".into(), "LocalHost".into()], ..Default::default() };
        let outside = Outside::new(&config).unwrap();
        let fetch = async |url: String| outside.fetch(&tool(url)).await.map_err(|why| why.to_string());
        assert_eq!(fetch(format!("http://{at}/echo")).await, Ok("{}".into()));
        for (url, why) in [
            (format!("http://{at}/fails"), "418"),
            (format!("http://{at}/moves"), "307"),
            (format!("http://{at}/huge"), "more than"),
            (format!("http://{at}/bytes"), "UTF-8"),
            (format!("http://localhost:{}/echo", at.port()), "no public address"),
            (format!("http://127.0.0.2:{}/echo", at.port()), "does not allow"),
            ("http://127.0.0.1@evil.example/".into(), "does not allow tools at evil.example"),
            ("file:///etc/passwd".into(), "not an http"),
            ("nonsense".into(), "not an http"),
        ] {
            let error = fetch(url.clone()).await.expect_err(&url);
            assert!(error.contains(why), "{url}: {error}");
        }
        let config = OutsideConfig { private_hosts: vec!["localhost".into()], ..config };
        let outside = Outside::new(&config).unwrap();
        assert_eq!(
            outside.fetch(&tool(format!("http://localhost:{}/echo", at.port()))).await,
            Ok("{}".into())
        );
    }

    #[tokio::test]
    async fn services_get_their_key_and_model() {
        let at = serve().await;
        let folder = tempfile::tempdir().unwrap();
        let key_file = folder.path().join("key");
        std::fs::write(&key_file, "secret\n").unwrap();
        let service =
            Service { url: format!("http://{at}/echo"), key_file: Some(key_file), model: Some("m".into()) };
        let config = OutsideConfig { embedder: Some(service), ..Default::default() };
        let outside = Outside::new(&config).unwrap();
        let fetch = |from| Fetch { id: CallId(1), from, body: r#"{"input":"a"}"#.into() };
        let answered = outside.fetch(&fetch(Source::Embedder)).await;
        assert_eq!(answered, Ok(r#"Bearer secret{"input":"a","model":"m"}"#.into()));
        assert_eq!(outside.fetch(&fetch(Source::Model)).await, Err("this node has no language model".into()));
        let missing = Service { url: "http://a/".into(), key_file: Some("/none".into()), model: None };
        let config = OutsideConfig { model: Some(missing), ..Default::default() };
        assert!(Outside::new(&config).unwrap_err().to_string().contains("/none"));
    }

    #[test]
    fn private_addresses_are_known() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.1.2.3",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "192.0.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "240.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "2002:a00:1::",
            "2002:808:808::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "198.20.0.1",
            "192.0.1.1",
            "2606:4700::1111",
            "64:ff9a::1",
            "::ffff:1.1.1.1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
