// Package authn tells who a caller of the gateway is, and what he may.
//
// An Authenticator looks at a request in two steps: at its head, before its body is
// read, and, by the Proof, at the hash of the body, which a signature covers. There are
// three kinds:
//
//   - SigV4: AWS's Signature Version 4, in the head or in a presigned URL, against
//     access keys in Secrets (sigv4.go, presigned.go, accesskey.go);
//   - KubernetesTokens: tokens of the cluster, which the API server is asked about
//     (token.go);
//   - Issuers.Of: tokens of the OIDC issuer that a runtime names (issuers.go).
//
// ByScheme chooses between them by the header Authorization. All end in a Caller, whose
// May tells what rights he has to a runtime.
//
// Whoever is refused gets an *Error, whose Kind the gateway makes a status of. Any other
// error is the gateway's own, and says nothing about the caller.
//
// What a caller sends is untrusted, and so is what an issuer answers. Both are bounded,
// in size and in what they make this room ask of others.
package authn
