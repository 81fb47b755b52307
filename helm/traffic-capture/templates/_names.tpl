{{/* The release's name, with the chart's name in it once; room is left for "-post-delete". */}}
{{- define "traffic-capture.fullname" -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- $name | trunc 51 | trimSuffix "-" -}}
{{- end }}

{{- define "traffic-capture.image" -}}
{{- $repository := required "image.repository is empty: no registry publishes the image yet; name the place that you pushed it to, e.g. --set image.repository=registry.example.com/traffic-capture" .Values.image.repository -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end }}

{{- define "traffic-capture.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What selects the pods of a component; never changes over the life of a release. */}}
{{- define "traffic-capture.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Where nothing is captured, as a JSON list: the release's own namespace always. */}}
{{- define "traffic-capture.excludedNamespaces" -}}
{{- append .Values.excludedNamespaces .Release.Namespace | uniq | toJson -}}
{{- end }}

{{/* The Pod Security level `restricted`, for everything but the agent. */}}
{{- define "traffic-capture.restrictedPod" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "traffic-capture.restrictedContainer" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
