// SPDX-License-Identifier: Apache-2.0

// Package iam decides whether a token proves that a client may log in as a database user. It opens no listener and knows no
// database protocol: the login hands over what the client sent as its password, and gets an identity or a Rejection.
//
// There are three kinds of token, each with a Verifier. OwnKeys takes the token that the tools and SDKs of AWS make for RDS
// (`aws rds generate-db-auth-token`): a presigned URL that is never fetched, but whose signature is computed again with an
// access key that the operator keeps, and a Policy decides. STS takes a presigned GetCallerIdentity, sends it to AWS, and maps
// the role that AWS names to database users. WebIdentity takes a JSON web token of an OpenID Connect issuer, such as a
// Kubernetes cluster. A Gate stands in front of them: it picks the verifier, makes all failures look and last the same, and
// slows down whoever fails often.
//
// A token binds the login to one endpoint and one user: OwnKeys and STS by the signature, WebIdentity by the audience and the
// mapping of claims. As with RDS, a token may be used again until it expires; it travels over TLS only, so whoever could
// replay it has broken into client or proxy already.
//
// A Rejection has two texts. The public one is RDS Proxy's and does not tell why. Error is for the log: it names the reason,
// and quotes only parts that are no secret.
package iam
