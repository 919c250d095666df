{{- /* Labels of every object, besides those that Helm sets itself. */}}
{{- define "agentsession.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* Labels of what the Prometheus Operator reads. */}}
{{- define "agentsession.monitoringLabels" -}}
app.kubernetes.io/name: agentsession
{{ include "agentsession.labels" . }}
{{- with .Values.monitoring.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The labels by which a component's pods are selected. Takes its name. */}}
{{- define "agentsession.selector" -}}
app.kubernetes.io/name: agentsession
app.kubernetes.io/component: {{ . }}
{{- end }}

{{- /* The labels by which the operator's pods are selected, or those of one of its shards. Takes
       the shard. */}}
{{- define "agentsession.operatorSelector" -}}
{{- include "agentsession.selector" "operator" }}
{{- with .name }}
runtime.agentsession.dev/shard: {{ . | quote }}
{{- end }}
{{- end }}

{{- /* An image. Takes (list root image). */}}
{{- define "agentsession.image" -}}
{{- $root := index . 0 }}{{ $image := index . 1 }}
{{- with $root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ coalesce $image.tag $root.Values.image.tag $root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* What a pod has of its component's values. Takes (list root component). */}}
{{- define "agentsession.scheduling" -}}
{{- $root := index . 0 }}{{ $component := index . 1 }}
{{- with $root.Values.priorityClass.name }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- with $component.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $component.tolerations }}
tolerations:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with $component.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- /* What every container has. Takes (list root component). */}}
{{- define "agentsession.container" -}}
imagePullPolicy: {{ (index . 0).Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
livenessProbe:
  httpGet:
    path: /healthz
    port: health
  initialDelaySeconds: 15
  periodSeconds: 20
readinessProbe:
  httpGet:
    path: /readyz
    port: health
  periodSeconds: 5
{{- with (index . 1).resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Spreads a component's pods over nodes. Takes its name. */}}
{{- define "agentsession.spread" -}}
topologySpreadConstraints:
- topologyKey: kubernetes.io/hostname
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "agentsession.selector" . | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}

{{- /* Flags that all processes have. Takes (list root component). */}}
{{- define "agentsession.args" -}}
{{- $root := index . 0 }}
{{- with $root.Values.watchNamespaces }}
- --watch-namespaces={{ join "," . }}
{{- end }}
{{- if not $root.Values.metrics.enabled }}
- --metrics-bind-address=0
{{- end }}
{{- range (index . 1).extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{- /* The gateway's flags for its page. */}}
{{- define "agentsession.dashboardArgs" -}}
{{- with .Values.gateway.dashboard }}
{{- if .enabled }}
- --dashboard=:8082
{{- if .write }}
- --dashboard-write
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What has pods replaced when the chart's own certificates change. */}}
{{- define "agentsession.rootsChecksum" -}}
{{- with .Values.caBundle.pem }}
checksum/ca-bundle: {{ sha256sum . }} # new certificates, new pods
{{- end }}
{{- end }}

{{- /* Where a container has the authorities that this cluster adds. */}}
{{- define "agentsession.rootsMount" -}}
- name: roots
  mountPath: /etc/agentsession/roots
  readOnly: true
{{- end }}

{{- define "agentsession.rootsVolume" -}}
- name: roots # certificates of authorities that issuers and collectors have, in PEM
  configMap:
    name: {{ .Values.caBundle.configMap }}
    optional: true
{{- end }}

{{- /* Variables that all processes have. Takes (list root component). */}}
{{- define "agentsession.env" -}}
- name: SSL_CERT_DIR # beside Mozilla's authorities, which are built in
  value: /etc/agentsession/roots
{{- with (index . 0).Values.proxy }}
{{- with .http }}
- name: HTTP_PROXY
  value: {{ . | quote }}
{{- end }}
{{- with .https }}
- name: HTTPS_PROXY
  value: {{ . | quote }}
{{- end }}
{{- if or .http .https }}
- name: NO_PROXY # the first is the API server
  value: {{ concat (list "$(KUBERNETES_SERVICE_HOST)" "localhost" "127.0.0.1" "::1" ".svc" ".cluster.local") .noProxy | join "," | quote }}
{{- end }}
{{- end }}
{{- with (index . 1).extraEnv }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}

{{- /* Ports that all containers have. */}}
{{- define "agentsession.ports" -}}
{{- if .Values.metrics.enabled }}
- name: metrics
  containerPort: 8443
{{- end }}
- name: health
  containerPort: 8081
{{- end }}
