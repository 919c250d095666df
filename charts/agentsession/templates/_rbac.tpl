{{- /* Rights of a service account: cluster-wide, or in each of watchNamespaces. Takes
       (list root account rules). */}}
{{- define "agentsession.grant" -}}
{{- $root := index . 0 }}{{ $account := index . 1 }}{{ $rules := index . 2 }}
{{- range $root.Values.watchNamespaces | default (list "") }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "Role" "ClusterRole" (ne . "") }}
metadata:
  name: {{ $account }}
  {{- with . }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "agentsession.labels" $root | nindent 4 }}
rules:
{{ $rules }}
{{- end }}
{{- range $root.Values.watchNamespaces | default (list "") }}
{{- include "agentsession.bind" (list $root $account (ternary "Role" "ClusterRole" (ne . "")) $account . $account) }}
{{- end }}
{{- end }}

{{- /* Binds a role to a service account. Takes (list root name kind role namespace
       account); no namespace is the cluster. */}}
{{- define "agentsession.bind" -}}
{{- $root := index . 0 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "RoleBinding" "ClusterRoleBinding" (ne (index . 4) "") }}
metadata:
  name: {{ index . 1 }}
  {{- with index . 4 }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "agentsession.labels" $root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ index . 2 }}
  name: {{ index . 3 }}
subjects:
- kind: ServiceAccount
  name: {{ index . 5 }}
  namespace: {{ $root.Release.Namespace }}
{{- end }}

{{- define "agentsession.operatorRules" -}}
{{- $rules := list }}
{{- range (.Files.Get "files/rbac/operator.yaml" | fromYaml).rules }}
{{- if or $.Values.networkPolicy.enabled (not (has "networking.k8s.io" .apiGroups)) }}
{{- $rules = append $rules . }}
{{- end }}
{{- end }}
{{- toYaml $rules }}
{{- end }}

{{- /* Make, wake and stop sessions, and say that they are in use; no pod, no Secret. */}}
{{- define "agentsession.gatewayRules" -}}
- apiGroups: [runtime.agentsession.dev]
  resources: [agentruntimes]
  verbs: [get, list, watch]
- apiGroups: [runtime.agentsession.dev]
  resources: [agentruntimes/finalizers]
  verbs: [update]
- apiGroups: [runtime.agentsession.dev]
  resources: [agentsessions]
  verbs: [create, get, list, patch, watch]
- apiGroups: [runtime.agentsession.dev]
  resources: [agentsessions/status]
  verbs: [patch]
{{- end }}

{{- /* Look, and report; nothing is created or deleted. */}}
{{- define "agentsession.nodeProberRules" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [runtime.agentsession.dev]
  resources: [agentsessions]
  verbs: [get, list, watch]
- apiGroups: [runtime.agentsession.dev]
  resources: [agentsessions/status]
  verbs: [patch]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
