// SPDX-License-Identifier: Apache-2.0

package config

// Reload says what a reload (SIGHUP) does with a changed setting.
type Reload string

// What a reload does.
const (
	// Live settings apply at once to what is already connected.
	Live Reload = "live"
	// NewConnections settings apply to connections made after the reload.
	NewConnections Reload = "new connections"
	// Restart settings keep their old value until the daemon starts again.
	Restart Reload = "restart"
)

// field is one row of the table of settings.
type field struct {
	// path as in a file, with [] for "each of the list".
	path string
	// def is the default as one would write it; empty means the zero value.
	def string
	// derived tells in words a default that depends on other settings.
	derived string
	// allow is "low..high" (both included) for numbers and durations, "a|b|c" for words; empty means unchecked here.
	allow  string
	reload Reload
	// help is one sentence for --help and the reference.
	help string
}

// fields is every setting there is, in the order of the reference. A test proves that it and the structs agree.
var fields = []field{
	{
		path: "endpoints", derived: "one endpoint with defaults, when there is one target group", reload: Restart,
		help: "Addresses that clients connect to.",
	},
	{
		path: "endpoints[].name", def: "default", reload: Restart,
		help: "Name of the endpoint, in logs and metrics.",
	},
	{
		path: "endpoints[].listen", def: "127.0.0.1:6432", reload: Restart,
		help: "Address to listen on, host:port. An empty host means all addresses, port 0 a free one.",
	},
	{
		path: "endpoints[].names", reload: NewConnections,
		help: "Host names by which clients reach the endpoint, as IAM tokens have them: host, or host:port where the port is not that of listen.",
	},
	{
		path: "endpoints[].target_group", derived: "the only target group, when there is one", reload: Restart,
		help: "Name of the target group behind the endpoint.",
	},
	{
		path: "endpoints[].role", def: "read_write", allow: "read_write|read_only", reload: Restart,
		help: "read_write follows the writer; read_only is served by readers.",
	},
	{
		path: "endpoints[].members", reload: Live,
		help: "The only readers that serve a read_only endpoint, host:port each as in the target group; by default all.",
	},
	{
		path: "endpoints[].max_replica_lag", def: "0s", allow: "0s..24h", reload: Live,
		help: "How far behind the writer a reader may be that serves a read_only endpoint; 0s is no limit. With a limit, a reader whose lag is not known serves nobody.",
	},
	{
		path: "endpoints[].reader_fallback", def: "none", allow: "none|writer", reload: Live,
		help: "Who serves a read_only endpoint while there is no reader: nobody, or the writer.",
	},
	{
		path: "endpoints[].tls", reload: NewConnections,
		help: "Certificate shown to clients. Without one the endpoint offers no TLS.",
	},
	{
		path: "endpoints[].tls.cert_file", reload: NewConnections,
		help: "PEM file with the certificate and its chain. A changed file is noticed by itself.",
	},
	{
		path: "endpoints[].tls.key_file", reload: NewConnections,
		help: "PEM file with the private key.",
	},
	{
		path: "endpoints[].tls.min_version", def: "1.2", allow: "1.2|1.3", reload: NewConnections,
		help: "Lowest TLS version accepted from clients.",
	},
	{
		path: "endpoints[].tcp", reload: NewConnections,
		help: "Socket settings towards clients.",
	},
	{
		path: "endpoints[].tcp.keepalive_idle", def: "30s", allow: "1s..2h", reload: NewConnections,
		help: "Silence after which the kernel probes a client.",
	},
	{
		path: "endpoints[].tcp.keepalive_interval", def: "10s", allow: "1s..1h", reload: NewConnections,
		help: "Time between two probes.",
	},
	{
		path: "endpoints[].tcp.keepalive_count", def: "3", allow: "1..100", reload: NewConnections,
		help: "Unanswered probes after which the connection is dead.",
	},
	{
		path: "endpoints[].tcp.user_timeout", def: "0s", allow: "0s..24h", reload: NewConnections,
		help: "TCP_USER_TIMEOUT; 0s leaves the kernel's. It also ends connections to clients that stop reading for so long.",
	},

	{
		path: "target_groups", reload: Restart,
		help: "Databases behind the proxy.",
	},
	{
		path: "target_groups[].name", def: "default", reload: Restart,
		help: "Name of the target group, in logs and metrics.",
	},
	{
		path: "target_groups[].engine", def: "postgresql", allow: "postgresql|mysql|mariadb", reload: Restart,
		help: "Kind of database: it decides the protocol of the endpoints in front of it.",
	},
	{
		path: "target_groups[].writer", reload: Live,
		help: "Where the database that accepts writes is found: host:port, or a mapping with host and port. May be left out with members.",
	},
	{
		path: "target_groups[].members", reload: Live,
		help: "The servers that hold the database, host:port each, whichever is the writer: the proxy asks them. Without it, the writer alone or what discovery finds.",
	},
	{
		path: "target_groups[].discovery", derived: "dns when writer is a name and there are no members, else static",
		allow: "static|dns|aurora", reload: Live,
		help: "Where members come from: static is those named here, dns all addresses of the name in writer, aurora the cluster's own table.",
	},
	{
		path: "target_groups[].instance_pattern", derived: "made from the cluster's endpoint in writer", reload: Live,
		help: "Host names of Aurora instances, with a question mark for the identifier: ?.abc123.eu-central-1.rds.amazonaws.com.",
	},
	{
		path: "target_groups[].dns_server", derived: "the system's way of looking names up", reload: Live,
		help: "DNS server at which the name in writer is looked up, host or host:port. Unlike the system it tells for how long an answer is good.",
	},
	{
		path: "target_groups[].probe_user", derived: "the first user in auth that the proxy can log in as by itself", reload: Live,
		help: "User in auth as whom the proxy asks members which of them is the writer. Needs no privileges.",
	},
	{
		path: "target_groups[].probe_database", def: "postgres", reload: Live,
		help: "Database in which the proxy asks that; PostgreSQL only.",
	},
	{
		path: "target_groups[].max_connections", def: "0", allow: "0..1000000", reload: Live,
		help: "Takes the place of the database's own max_connections when the budget is computed; 0 asks the database.",
	},
	{
		path: "target_groups[].max_connections_percent", def: "100", allow: "1..100", reload: Live,
		help: "Share of the database's max_connections that the proxy may use.",
	},
	{
		path: "target_groups[].max_idle_connections_percent", derived: "half of max_connections_percent", allow: "0..100", reload: Live,
		help: "Share of the database's max_connections kept open though unused; at most max_connections_percent.",
	},
	{
		path: "target_groups[].connection_borrow_timeout", def: "120s", allow: "0s..300s", reload: Live,
		help: "How long a client waits for a database connection; 0s fails at once whenever none is ready.",
	},
	{
		path: "target_groups[].session_pinning_filters", reload: NewConnections,
		help: "Exceptions from pinning. There are none yet: variables are tracked instead.",
	},
	{
		path: "target_groups[].init_query", reload: NewConnections,
		help: "SQL that runs once on each new database connection. It may be read by whoever reads this file.",
	},
	{
		path: "target_groups[].tls", reload: NewConnections,
		help: "TLS towards the database.",
	},
	{
		path: "target_groups[].tls.mode", derived: "prefer; require when require_tls is on; verify-full with default_auth_scheme iam_auth",
		allow: "disable|prefer|require|verify-ca|verify-full", reload: NewConnections,
		help: "As libpq's sslmode.",
	},
	{
		path: "target_groups[].tls.ca_file", reload: NewConnections,
		help: "PEM bundle of the authorities trusted with verify-ca and verify-full; without it, those of the system.",
	},
	{
		path: "target_groups[].tls.server_name", derived: "the member's host name", reload: NewConnections,
		help: "Name sent to and verified in the database's certificate.",
	},
	{
		path: "target_groups[].connect_timeout", def: "10s", allow: "100ms..5m", reload: NewConnections,
		help: "Time to open a database connection: lookup, TCP, TLS, login and init_query.",
	},
	{
		path: "target_groups[].max_connection_lifetime", def: "24h", allow: "1s..720h", reload: NewConnections,
		help: "Age at which a database connection is closed once it is idle, less a random part.",
	},
	{
		path: "target_groups[].idle_connection_timeout", def: "5m", allow: "1s..24h", reload: Live,
		help: "Disuse after which a database connection counts as idle.",
	},
	{
		path: "target_groups[].max_prepared_statements", def: "200", allow: "1..10000", reload: NewConnections,
		help: "Statements kept prepared on one database connection.",
	},
	{
		path: "target_groups[].default_auth_scheme", def: "none", allow: "none|iam_auth", reload: NewConnections,
		help: "How the proxy logs in as users without a secret: iam_auth makes IAM tokens for RDS and Aurora.",
	},
	{
		path: "target_groups[].region", derived: "AWS_REGION, or the profile's", reload: NewConnections,
		help: "Region of the database, for the tokens of iam_auth.",
	},
	{
		path: "target_groups[].retire_after_rotation", def: "1h", allow: "0s..720h", reload: Live,
		help: "How long after a change of its user's password a connection is used; then it is closed once it is idle.",
	},
	{
		path: "target_groups[].tcp", reload: NewConnections,
		help: "Socket settings towards the database.",
	},
	{
		path: "target_groups[].tcp.keepalive_idle", def: "30s", allow: "1s..2h", reload: NewConnections,
		help: "Silence after which the kernel probes the database.",
	},
	{
		path: "target_groups[].tcp.keepalive_interval", def: "10s", allow: "1s..1h", reload: NewConnections,
		help: "Time between two probes.",
	},
	{
		path: "target_groups[].tcp.keepalive_count", def: "3", allow: "1..100", reload: NewConnections,
		help: "Unanswered probes after which the connection is dead.",
	},
	{
		path: "target_groups[].tcp.user_timeout", def: "0s", allow: "0s..24h", reload: NewConnections,
		help: "TCP_USER_TIMEOUT; 0s leaves the kernel's. It also ends connections to a database that stops reading for so long, as a COPY that waits for a lock does.",
	},

	{
		path: "auth", reload: Live,
		help: "Who may log in, and with which secret.",
	},
	{
		path: "auth[].user", reload: Live,
		help: "Name that clients log in with; the same as the username in the secret.",
	},
	{
		path: "auth[].secret", reload: Live,
		help: "Name of a JSON file with username and password, or of a folder with files of these names; relative to secrets_dir, absolute, or a file: URI. In AWS Secrets Manager: an ARN, or secretsmanager:NAME. Not needed with iam_auth required and default_auth_scheme iam_auth.",
	},
	{
		path: "auth[].iam_auth", def: "disabled", allow: "disabled|required|enabled", reload: Live,
		help: "Login with IAM tokens: never, always, or in place of the password. Tokens pass over TLS only.",
	},
	{
		path: "auth[].client_password_auth_type", def: "default",
		allow:  "default|POSTGRES_SCRAM_SHA_256|POSTGRES_MD5|MYSQL_CACHING_SHA2_PASSWORD|MYSQL_NATIVE_PASSWORD",
		reload: Live,
		help:   "Password method towards clients, at endpoints of its engine: by default POSTGRES_SCRAM_SHA_256, MYSQL_CACHING_SHA2_PASSWORD for mysql, MYSQL_NATIVE_PASSWORD for mariadb.",
	},

	{
		path: "iam", reload: NewConnections,
		help: "How IAM tokens of clients are checked.",
	},
	{
		path: "iam.resource", reload: NewConnections,
		help: "The proxy in policies: arn:PARTITION:rds-db:REGION:ACCOUNT:dbuser:ID/USER.",
	},
	{
		path: "iam.resource.partition", def: "aws", reload: NewConnections,
		help: "Partition in the ARN.",
	},
	{
		path: "iam.resource.region", reload: NewConnections,
		help: "Region in the ARN, and the one that tokens have to be made for.",
	},
	{
		path: "iam.resource.account", reload: NewConnections,
		help: "Account in the ARN, twelve digits.",
	},
	{
		path: "iam.resource.id", reload: NewConnections,
		help: "Resource id in the ARN, such as prx-0123456789abcdef0.",
	},
	{
		path: "iam.own_keys", reload: NewConnections,
		help: "Access keys that the proxy knows, for tokens in the form of RDS.",
	},
	{
		path: "iam.own_keys[].secret", reload: NewConnections,
		help: "Secret with AccessKeyId and SecretAccessKey; named like auth[].secret.",
	},
	{
		path: "iam.own_keys[].policy_file", reload: NewConnections,
		help: "JSON policy document of IAM with rds-db:connect. It is read at each reload.",
	},
	{
		path: "iam.sts", reload: NewConnections,
		help: "Tokens that AWS STS is asked about.",
	},
	{
		path: "iam.sts.regions", derived: "all", reload: NewConnections,
		help: "Regions whose STS may be asked.",
	},
	{
		path: "iam.sts.mappings", reload: NewConnections,
		help: "Which roles and users of AWS may log in as which database users. Without any, STS is not asked.",
	},
	{
		path: "iam.sts.mappings[].match", reload: NewConnections,
		help: "ARN of a role or user; the wildcards * and ? may stand behind the account.",
	},
	{
		path: "iam.sts.mappings[].users", reload: NewConnections,
		help: "Database users; a * at the end stands for the rest of a name.",
	},
	{
		path: "iam.web_identity", reload: NewConnections,
		help: "Issuers of signed tokens (JWT), such as a Kubernetes cluster.",
	},
	{
		path: "iam.web_identity[].issuer", reload: NewConnections,
		help: "URL of the issuer, exactly as tokens name it.",
	},
	{
		path: "iam.web_identity[].audience", reload: NewConnections,
		help: "Audience of tokens for this proxy; take a name of its own.",
	},
	{
		path: "iam.web_identity[].keys_url", derived: "as the issuer's discovery document says", reload: NewConnections,
		help: "URL of the issuer's keys.",
	},
	{
		path: "iam.web_identity[].ca_file", reload: NewConnections,
		help: "PEM bundle of the authorities for the issuer's certificate; without it, those of the system.",
	},
	{
		path: "iam.web_identity[].bearer_file", reload: NewConnections,
		help: "File with a token that the issuer wants to see before it shows its keys, such as the pod's own.",
	},
	{
		path: "iam.web_identity[].claim", def: "sub", reload: NewConnections,
		help: "Claim that is mapped to database users; dots lead into objects.",
	},
	{
		path: "iam.web_identity[].mappings", reload: NewConnections,
		help: "Which values of the claim may log in as which database users.",
	},
	{
		path: "iam.web_identity[].mappings[].match", reload: NewConnections,
		help: "Value of the claim, with the wildcards * and ?.",
	},
	{
		path: "iam.web_identity[].mappings[].users", reload: NewConnections,
		help: "Database users; a * at the end stands for the rest of a name.",
	},
	{
		path: "iam.max_failures", def: "30", allow: "1..100000", reload: NewConnections,
		help: "Tokens from one address that may be refused at once; one more each second. Then its tokens are not looked at.",
	},

	{
		path: "secrets_manager", reload: Restart,
		help: "How secrets in AWS Secrets Manager are read. Credentials are those of AWS's default chain.",
	},
	{
		path: "secrets_manager.region", derived: "AWS_REGION, or the profile's", reload: Restart,
		help: "Region of secrets that are given by name.",
	},
	{
		path: "secrets_manager.endpoint", reload: Restart,
		help: "URL in place of the public one, such as that of a VPC endpoint.",
	},
	{
		path: "secrets_manager.refresh_interval", def: "5m", allow: "1s..24h", reload: Restart,
		help: "How often a secret is read again.",
	},
	{
		path: "secrets_manager.max_age", def: "0s", allow: "0s..720h", reload: Restart,
		help: "How long a secret is used that cannot be read again; 0s is without end.",
	},

	{
		path: "idle_client_timeout", def: "30m", allow: "1s..8h", reload: Live,
		help: "Closes a client connection that has sent nothing for so long.",
	},
	{
		path: "require_tls", def: "false", reload: NewConnections,
		help: "Refuses clients without TLS.",
	},
	{
		path: "max_client_connections", def: "10000", allow: "1..1000000", reload: NewConnections,
		help: "Client connections at a time.",
	},
	{
		path: "max_unauthenticated_connections", def: "1000", allow: "1..1000000", reload: NewConnections,
		help: "Client connections at a time that have not logged in yet.",
	},
	{
		path: "login_timeout", def: "30s", allow: "100ms..5m", reload: NewConnections,
		help: "Time from accept to the end of the login.",
	},
	{
		path: "drain_timeout", def: "60s", allow: "0s..1h", reload: Live,
		help: "How long a stop waits for transactions to end.",
	},
	{
		path: "allow_public_clients", def: "false", reload: NewConnections,
		help: "Lets clients in from public addresses too.",
	},
	{
		path: "allowed_client_networks", derived: "loopback, private and link-local networks", reload: NewConnections,
		help: "The only networks that clients may come from, such as 10.0.0.0/8.",
	},
	{
		path: "loops", def: "0", allow: "0..1024", reload: Restart,
		help: "Event loops; 0 means one per core.",
	},

	{
		path: "log", reload: Live,
		help: "What is logged, to standard error.",
	},
	{
		path: "log.level", def: "info", allow: "debug|info|warn|error", reload: Live,
		help: "Lowest level that is logged.",
	},
	{
		path: "log.format", def: "json", allow: "json|console", reload: Restart,
		help: "Shape of log lines.",
	},

	{
		path: "admin", reload: Restart,
		help: "Listener for health, metrics and status.",
	},
	{
		path: "admin.listen", def: "127.0.0.1:9127", reload: Restart,
		help: "Address of the admin listener, host:port; off for none.",
	},
	{
		path: "admin.allow_remote", def: "false", reload: Restart,
		help: "Permits admin.listen to be another than a loopback address. There is no login on it.",
	},
	{
		path: "admin.pprof", def: "false", reload: Restart,
		help: "Serves profiles under /debug/pprof/.",
	},

	{
		path: "secrets_dir", derived: "the folder of the configuration file", reload: Live,
		help: "Folder against which relative names of secrets are resolved.",
	},
}
