package main

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"
)

func TestRedactText(t *testing.T) {
	key, jwt := "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"
	for text, want := range map[string]string{
		"The session has no work for 15m0s":                                         "The session has no work for 15m0s",
		`secret "model" not found`:                                                  `secret "model" not found`,
		"couldn't find key token in Secret default/model":                           "couldn't find key token in Secret default/model",
		"bearer of news, 3 tokens used":                                             "bearer of news, 3 tokens used",
		"built of 0123456789abcdef0123456789abcdef01234567":                         "built of 0123456789abcdef0123456789abcdef01234567",
		"pod 5f0c6d3e-9a2b-4c1d-8e7f-001122334455":                                  "pod 5f0c6d3e-9a2b-4c1d-8e7f-001122334455",
		"sha256:" + strings.Repeat("0a1b", 16):                                      "sha256:" + strings.Repeat("0a1b", 16),
		"Authorization: Bearer abc.def-ghi":                                         "Authorization: <redacted>",
		"Authorization: Basic dXNlcjpw\nHost: x":                                    "Authorization: <redacted>\nHost: x",
		`{"authorization":"AWS4-HMAC-SHA256 Credential=a/b, S=c"}`:                  `{"authorization":"<redacted>"}`,
		"Set-Cookie: session=abc; Path=/":                                           "Set-Cookie: <redacted>",
		"sent bearer abcdefgh12345":                                                 "sent bearer <redacted>",
		"got " + jwt + " of him":                                                    "got <redacted> of him",
		"for AKIAIOSFODNN7EXAMPLE or ASIAIOSFODNN7EXAMPLE":                          "for <redacted> or <redacted>",
		"key " + key + "":                                                           "key <redacted>",
		"key x" + key + "":                                                          "key x" + key, // 41
		"AWS_SECRET_ACCESS_KEY=abc AWS_REGION=eu-west-1":                            "AWS_SECRET_ACCESS_KEY=<redacted> AWS_REGION=eu-west-1",
		`export PASSWORD='a b' && run`:                                              `export PASSWORD=<redacted> && run`,
		`DB_PASSWD: "a \" b" c`:                                                     `DB_PASSWD: <redacted> c`,
		"aws_credentials=abc passphrase: abc":                                       "aws_credentials=<redacted> passphrase: <redacted>",
		`{"token":"abc","n":1}`:                                                     `{"token":<redacted>,"n":1}`,
		`{"msg":"{\"api_key\":\"a b\",\"n\":1}"}`:                                   `{"msg":"{\"api_key\":<redacted>,\"n\":1}"}`,
		"https://x/?X-Amz-Signature=abc&X-Amz-Date=1":                               "https://x/?X-Amz-Signature=<redacted>&X-Amz-Date=1",
		"https://user:pw@git.example/x and http://a@b":                              "https://<redacted>@git.example/x and http://<redacted>@b",
		"run --token abc --wait --password=abc -x":                                  "run --token <redacted> --wait --password=<redacted> -x",
		"run --api-key 'a b' --no-token --wait":                                     "run --api-key <redacted> --no-token --wait",
		"with sk-proj-0123456789abcdef and ghp_0123456789abcdef":                    "with <redacted> and <redacted>",
		"a\n-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nb": "a\n<redacted>\nb",
		"-----BEGIN PRIVATE KEY-----\nMII":                                          "<redacted>",
	} {
		t.Run(want, func(t *testing.T) {
			NewWithT(t).Expect(redactText(text)).To(Equal(want))
			NewWithT(t).Expect(redactText(redactText(text))).To(Equal(redactText(text)), "what is redacted stays")
		})
	}
}

func TestRedactObject(t *testing.T) {
	g, o := NewWithT(t), map[string]any{}
	g.Expect(yaml.Unmarshal([]byte(`
metadata:
  name: token-service
  managedFields: [{manager: x}]
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{}'
    example.com/token: abc
    example.com/note: password=abc
  labels: {app: token-service}
spec:
  serviceAccountName: x
  secretName: model
  template:
    metadata:
      managedFields: [{manager: x}]
      annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}'}
    spec:
      imagePullSecrets: [{name: pull}]
      initContainers:
      - {name: i, env: [{name: A, value: abc}]}
      containers:
      - name: agent
        image: registry.example/token-service:1
        command: [sh, -c, "TOKEN=abc run"]
        args: [--token, abc, --verbose, --password=abc, -api-key, abc, plain]
        env:
        - {name: MODEL, value: abc}
        - {name: EMPTY}
        - {name: KEY, valueFrom: {secretKeyRef: {name: model, key: token}}}
        livenessProbe: {httpGet: {path: /ping, httpHeaders: [{name: X-Auth, value: abc}]}}
      volumes: [{name: v, csi: {driver: d, volumeAttributes: {accountKey: abc, clientSecret: abc, share: s}}}]
status:
  restartCount: 3
  message: "failed: --token abc"
`), &o)).To(Succeed())
	redactObject(o)
	text, err := yaml.Marshal(o)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(text)).NotTo(ContainSubstring("abc"))
	expectGolden(t, "redacted", string(text))
}
