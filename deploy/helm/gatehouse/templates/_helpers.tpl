{{- define "gatehouse.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "gatehouse.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "gatehouse.labels" -}}
{{ include "gatehouse.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "gatehouse.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "gatehouse.name" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- /* The files of secrets: a setting, and where its value is. */ -}}
{{- define "gatehouse.secretFiles" -}}
databaseURL: {variable: DATABASE_URL_FILE, file: database-url}
directDatabaseURL: {variable: GATEHOUSE_DIRECT_DATABASE_URL_FILE, file: direct-database-url}
admin: {variable: TYK_DB_ADMINSECRET_FILE, file: admin-secret}
node: {variable: TYK_DB_NODESECRET_FILE, file: node-secret}
gateway: {variable: TYK_DB_TYKAPI_SECRET_FILE, file: gateway-secret}
redisPassword: {variable: TYK_DB_REDISPASSWORD_FILE, file: redis-password}
{{- end }}
