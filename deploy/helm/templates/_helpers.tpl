{{- define "masqbpf.labels" -}}
app.kubernetes.io/name: {{ .Values.nameOverride }}
{{- end }}

{{/* With a registry, a tag or a digest; the digest wins. */}}
{{- define "masqbpf.image" -}}
{{- with .Values.image -}}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{/* What both kinds of monitor say about their endpoint. */}}
{{- define "masqbpf.endpoint" -}}
- port: metrics
  path: /metrics
  {{- with .interval }}
  interval: {{ . }}
  {{- end }}
  {{- with .scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
  {{- with .relabelings }}
  relabelings: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .metricRelabelings }}
  metricRelabelings: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* Labels of ours and those given; annotations where there are some. */}}
{{- define "masqbpf.metadata" -}}
{{- $root := index . 0 -}}
{{- $of := index . 1 -}}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "masqbpf.labels" $root | nindent 2 }}
  {{- with $of.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $of.annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
