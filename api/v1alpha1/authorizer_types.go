package v1alpha1

// AuthorizerConfiguration is AgentCore's.
type AuthorizerConfiguration struct {
	// customJWTAuthorizer lets callers in with a bearer token of this issuer, and
	// nobody else. They may invoke and stop; commands and lists of sessions are not
	// for them.
	// +required
	CustomJWTAuthorizer CustomJWTAuthorizer `json:"customJWTAuthorizer"`
}

// CustomJWTAuthorizer is AgentCore's. A token is good if its issuer signed it, its
// time is right (exp, nbf), each list of allowed values that is given has a match, and
// all customClaims hold.
//
// +kubebuilder:validation:XValidation:rule="has(self.allowedAudience) || has(self.allowedClients) || has(self.allowedScopes) || has(self.customClaims)",message="one of allowedAudience, allowedClients, allowedScopes and customClaims is needed: others get tokens of the same issuer too"
// +kubebuilder:validation:XValidation:rule="!has(self.advertisedScopeMapping) || has(self.allowedScopes) && self.advertisedScopeMapping.all(scope, scope in self.allowedScopes)",message="advertisedScopeMapping must map scopes of allowedScopes",fieldPath=".advertisedScopeMapping"
type CustomJWTAuthorizer struct {
	// discoveryUrl of the issuer, over https: with /.well-known/openid-configuration in it
	// (OpenID Connect), or /.well-known/oauth-authorization-server (RFC 8414), each at the
	// end or with the issuer's path behind it. The issuer is the one that the document
	// names: of OpenID Connect at the same address or another; of RFC 8414 it must be the URL
	// without the part that is well known. Gateways read it and the keys that it names, at
	// most once a second, or five times at first.
	// +required
	// +kubebuilder:validation:Pattern=`^https://[^\s?#]+/\.well-known/(openid-configuration|oauth-authorization-server)(/[^\s?#]+)?$`
	// +kubebuilder:validation:MaxLength=2048
	DiscoveryURL string `json:"discoveryUrl"`
	// allowedAudience: one of the token's aud is among these.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	AllowedAudience []string `json:"allowedAudience,omitempty"`
	// allowedClients: the token's client_id, or azp if it has none, is among these.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	AllowedClients []string `json:"allowedClients,omitempty"`
	// allowedScopes: one of the token's scope (words with spaces between them) is
	// among these. Each is 1 to 255 printable ASCII characters other than space, " and \.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:Pattern=`^[!#-\[\]-~]+$`
	// +kubebuilder:validation:items:MaxLength=255
	AllowedScopes []string `json:"allowedScopes,omitempty"`
	// advertisedScopeMapping has, for some of allowedScopes, the scope that clients are told
	// to ask the issuer for, in the place of it: in the header WWW-Authenticate of a refusal
	// and in the metadata of the runtime (RFC 9728). Entra has tokens for
	// api://APP/read with the scope read. Up to 50; others of allowedScopes are
	// advertised as they are.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=50
	AdvertisedScopeMapping map[string]Scope `json:"advertisedScopeMapping,omitempty"`
	// customClaims are rules for other claims of the token, 1 to 50. All must hold.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	CustomClaims []CustomClaim `json:"customClaims,omitempty"`
}

// Scope of OAuth: 1 to 255 printable ASCII characters other than space, " and \.
//
// +kubebuilder:validation:Pattern=`^[!#-\[\]-~]+$`
// +kubebuilder:validation:MaxLength=255
type Scope string

// CustomClaim is AgentCore's CustomClaimValidationType: a rule for one claim of a token.
//
// +kubebuilder:validation:XValidation:rule="(self.inboundTokenClaimValueType == 'STRING') == (self.authorizingClaimMatchValue.claimMatchOperator == 'EQUALS')",message="a claim of the type STRING is compared with EQUALS, and one of the type STRING_ARRAY with CONTAINS or CONTAINS_ANY",fieldPath=".authorizingClaimMatchValue.claimMatchOperator"
type CustomClaim struct {
	// inboundTokenClaimName is the name of the claim: 1 to 255 letters, digits, "_", ".",
	// ":", "/" and "-". It is one of the token's own members; a "." in it does not lead
	// into one of them.
	// +required
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_.:/-]+$`
	// +kubebuilder:validation:MaxLength=255
	InboundTokenClaimName string `json:"inboundTokenClaimName"`
	// inboundTokenClaimValueType is what the claim must be: STRING, or STRING_ARRAY (a list
	// of strings). A token without the claim, or with one of another type, is refused.
	// +required
	InboundTokenClaimValueType ClaimValueType `json:"inboundTokenClaimValueType"`
	// authorizingClaimMatchValue says which values are good.
	// +required
	AuthorizingClaimMatchValue ClaimMatch `json:"authorizingClaimMatchValue"`
}

// ClaimValueType is the type of a claim.
//
// +kubebuilder:validation:Enum=STRING;STRING_ARRAY
type ClaimValueType string

const (
	// ClaimString is a string.
	ClaimString ClaimValueType = "STRING"
	// ClaimStringArray is a list of strings.
	ClaimStringArray ClaimValueType = "STRING_ARRAY"
)

// ClaimMatch is AgentCore's AuthorizingClaimMatchValueType.
//
// +kubebuilder:validation:XValidation:rule="self.claimMatchOperator == 'CONTAINS_ANY' ? has(self.claimMatchValue.matchValueStringList) && !has(self.claimMatchValue.matchValueString) : has(self.claimMatchValue.matchValueString) && !has(self.claimMatchValue.matchValueStringList)",message="CONTAINS_ANY has matchValueStringList, EQUALS and CONTAINS have matchValueString, and none has both",fieldPath=".claimMatchValue"
type ClaimMatch struct {
	// claimMatchValue is what the claim is compared with.
	// +required
	ClaimMatchValue ClaimMatchValue `json:"claimMatchValue"`
	// claimMatchOperator is EQUALS (the claim is matchValueString), CONTAINS
	// (matchValueString is in the claim) or CONTAINS_ANY (one of matchValueStringList is).
	// +required
	ClaimMatchOperator ClaimMatchOperator `json:"claimMatchOperator"`
}

// ClaimMatchOperator is how a claim is compared.
//
// +kubebuilder:validation:Enum=EQUALS;CONTAINS;CONTAINS_ANY
type ClaimMatchOperator string

const (
	// ClaimEquals compares a string.
	ClaimEquals ClaimMatchOperator = "EQUALS"
	// ClaimContains looks for one string in a list.
	ClaimContains ClaimMatchOperator = "CONTAINS"
	// ClaimContainsAny looks for one of several strings in a list.
	ClaimContainsAny ClaimMatchOperator = "CONTAINS_ANY"
)

// ClaimMatchValue is AgentCore's ClaimMatchValueType: one of both.
type ClaimMatchValue struct {
	// matchValueString goes with EQUALS and CONTAINS: 1 to 255 characters, in their case.
	// (AgentCore allows letters, digits, "_", "." and "-".)
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	MatchValueString string `json:"matchValueString,omitempty"`
	// matchValueStringList goes with CONTAINS_ANY: 1 to 50 values, each as matchValueString.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	MatchValueStringList []string `json:"matchValueStringList,omitempty"`
}
