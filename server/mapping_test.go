package server

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
	"gatehouse/internal/gateway"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// These tests fail for a field that is added to a contract or to the store and forgotten on the way between them. It
// would compile, and always be sent or stored as zero.

// mapping describes where a function that converts one struct to another deviates from "each field is converted to the
// field of the same name".
type mapping struct {
	// renamed are fields of the source, with the field of the target that they are converted to.
	renamed map[string]string
	// ignored are fields of the source that are not converted, with the reason.
	ignored map[string]string
	// constant are fields of the target that do not depend on the source, with the reason.
	constant map[string]string
}

// mappingTest is the test of a conversion.
type mappingTest struct {
	name   string
	source reflect.Type
	check  func(*testing.T)
}

// mappingOf returns the test of a function that converts one struct to another.
func mappingOf[Source, Target any](name string, convert func(Source) Target, m mapping) mappingTest {
	return mappingTest{name, reflect.TypeFor[Source](), func(t *testing.T) { t.Helper(); checkMapping(t, convert, m) }}
}

// checkMapping changes one field of the source at a time, and requires that the right field of the target changes.
func checkMapping[Source, Target any](t *testing.T, convert func(Source) Target, m mapping) {
	t.Helper()
	var source Source
	fill(t, reflect.ValueOf(&source).Elem(), 1)
	base := reflect.ValueOf(convert(source))
	set := map[string]bool{}
	for field := range reflect.TypeFor[Source]().Fields() {
		changed := source
		fill(t, reflect.ValueOf(&changed).Elem().FieldByIndex(field.Index), 2)
		differing := differingFields(base, reflect.ValueOf(convert(changed)))
		for _, name := range differing {
			set[name] = true
		}
		if m.ignored[field.Name] != "" {
			if len(differing) > 0 {
				t.Errorf("%T.%s is listed as ignored, but is converted to %T.%v", source, field.Name, base.Interface(), differing)
			}
			continue
		}
		target := field.Name
		if renamed := m.renamed[field.Name]; renamed != "" {
			target = renamed
		}
		if !slices.ContainsFunc(differing, func(name string) bool { return strings.EqualFold(name, target) }) {
			t.Errorf("%T.%s is not converted to %T.%s. Convert it, or list in this test why it is ignored.",
				source, field.Name, base.Interface(), target)
		}
	}
	for field := range base.Type().Fields() {
		if !set[field.Name] && m.constant[field.Name] == "" {
			t.Errorf("%T.%s does not depend on %T. Convert a field to it, or list in this test why it is constant.",
				base.Interface(), field.Name, source)
		}
	}
}

// differingFields returns the names of the fields in which two structs differ.
func differingFields(a, b reflect.Value) (names []string) {
	for field := range a.Type().Fields() {
		if !reflect.DeepEqual(a.FieldByIndex(field.Index).Interface(), b.FieldByIndex(field.Index).Interface()) {
			names = append(names, field.Name)
		}
	}
	return names
}

// fill sets v, and all that is in it, to values that are not zero and differ for each seed.
func fill(t *testing.T, v reflect.Value, seed int) {
	t.Helper()
	switch value := v.Addr().Interface().(type) {
	case *time.Time:
		*value = time.Unix(int64(seed), 0).UTC()
		return
	case *json.RawMessage:
		*value = json.RawMessage(fmt.Sprintf(`{"rate":%d}`, seed))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprint("value ", seed))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(seed))
	case reflect.Bool:
		v.SetBool(seed%2 == 1)
	case reflect.Interface:
		v.Set(reflect.ValueOf(seed))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), seed)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), seed)
	case reflect.Map:
		element := reflect.New(v.Type().Elem()).Elem()
		fill(t, element, seed)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key"), element)
	case reflect.Struct:
		for field := range v.Type().Fields() {
			fill(t, v.FieldByIndex(field.Index), seed)
		}
	default:
		t.Fatalf("fill does not support %s: add it", v.Type())
	}
}

const (
	readOnly    = "the server sets it"
	alwaysEmpty = "always empty: kept for older clients"
	onePage     = "the list is always one page"
	// namesAreFound is why a parameter need not be read.
	namesAreFound = "keys are found by their names without it"
	noLicense     = "there is nothing to license"
	ofOverview    = "it is a member of the overview"
	ofProblems    = "it is in the problems"
)

// mappings are the tests of the conversions.
func mappings() []mappingTest {
	signOn := func(sent admin.SSOAccessData) store.SignOn {
		on, err := toSignOn(sent)
		if err != nil {
			panic(err)
		}
		return on
	}
	return []mappingTest{
		mappingOf("toUserParams", toUserParams, mapping{
			ignored: map[string]string{
				"Password": "is hashed: userRequest returns it", "ApiModel": alwaysEmpty, "PWHistory": alwaysEmpty, "Id": readOnly,
				"CreatedAt": readOnly, "LastLoginDate": readOnly, "PasswordUpdated": readOnly,
			},
			constant: map[string]string{"PasswordHash": "UpdateUser hashes the password"},
		}),
		mappingOf("toUser", toUser, mapping{constant: map[string]string{"ApiModel": alwaysEmpty, "PWHistory": alwaysEmpty}}),
		mappingOf("toSignOn", signOn, mapping{renamed: map[string]string{
			"EmailAddress": "Email", "SSOOnlyForRegisteredUsers": "RegisteredOnly", "ForSection": "Document",
			"DisplayName": "Document", "GroupID": "Document", "GroupsIDs": "Document", "UserNotAllowed": "Document",
		}, constant: map[string]string{"Granted": "is that of the caller: CreateSSONonce sets it"}}),
		// Redeeming the nonce returns the document, with every field of the request.
		mappingOf("toSignOn, document", func(sent admin.SSOAccessData) (returned admin.SSOAccessData) {
			if err := json.Unmarshal(signOn(sent).Document, &returned); err != nil {
				panic(err)
			}
			return returned
		}, mapping{}),
		mappingOf("toAPIFilter", func(params dashboard.GetApisParams) store.APIFilter {
			filter, _ := toAPIFilter(params) // of values that no type of authentication has
			return filter
		}, mapping{
			renamed: map[string]string{"Q": "Text", "Category": "Categories", "AuthType": "Auth", "ApiType": "Type"},
			ignored: map[string]string{"P": "the default page is the operation's"},
			constant: map[string]string{
				"OrgID": "the caller's", "Page": "the default page is the operation's",
			},
		}),
		mappingOf("toImportOptions", toImportOptions, mapping{
			ignored: map[string]string{
				"TemplateID": "it is applied to the result", "BaseApiId": inLink, "BaseApiVersionName": inLink,
				"NewVersionName": inLink, "SetDefault": inLink,
			},
			constant: map[string]string{"APIID": "the ID is always made"},
		}),
		mappingOf("toNode", toNode, mapping{
			ignored: map[string]string{
				"Pinged":     "it is for the next registration, and shows in the last heartbeat",
				"Registered": "it is for fetches that began before it",
			},
		}),
		mappingOf("toAuditFilter", func(params dashboard.GetAuditLogsParams) store.AuditFilter {
			day := func(value *string) *string {
				d := strings.Replace(*value, "value ", "2026-11-0", 1)
				return &d
			}
			params.FromDate, params.ToDate = day(params.FromDate), day(params.ToDate)
			filter, err := toAuditFilter(params)
			if err != nil {
				panic(err)
			}
			return filter
		}, mapping{
			renamed: map[string]string{"User": "Actor", "FromDate": "From", "ToDate": "Before"},
			ignored: map[string]string{
				"P": "the default page is the operation's", "OrgId": "it is within the caller's scope", "Download": "the handler reads it", "Type": "the handler reads it",
			},
			constant: map[string]string{"OrgID": "the caller's", "Page": "the default page is the operation's"},
		}),
		mappingOf("toAuditLog", toAuditLog, mapping{
			renamed: map[string]string{"Position": "UnderscoreId", "At": "Date", "Actor": "User"},
		}),
		mappingOf("toSystemNode", toSystemNode, mapping{
			ignored: map[string]string{
				"SessionID":  "it is for requests with the node secret",
				"Pinged":     "it is for the next registration, and shows in the last heartbeat",
				"Registered": "it is for fetches that began before it",
			},
		}),
		mappingOf("toIndividualStats", func(usage store.APIUsage) dashboard.IndividualStats {
			return toIndividualStats(usage, "2026-11-24")
		}, mapping{
			renamed: map[string]string{"Total": "MaxUsage", "Active": "MaxActiveUsage"},
			constant: map[string]string{
				"Date": "the day is another parameter", "LicenseEntitlement": noLicense, "LicenseEntitlementActive": noLicense,
			},
		}),
		mappingOf("toOverviewAPIs", toOverviewAPIs, mapping{
			renamed: map[string]string{"APIs": "Total", "ActiveAPIs": "Active", "OASAPIs": "Oas"},
			ignored: map[string]string{
				"Organisations": ofOverview, "Users": ofOverview, "Policies": ofOverview, "WithheldAPIs": ofProblems,
				"WithheldPolicies": ofProblems,
			},
		}),
		mappingOf("toOrgKeyData", toOrgKeyData, mapping{
			renamed:  map[string]string{"OrgID": "KeyId", "Session": "Data"},
			constant: map[string]string{"ApiModel": alwaysEmpty, "KeyHash": "gateways do not hash the keys of organisations"},
		}),
		mappingOf("toKeyData", func(key gateway.Key) admin.KeyData { return toKeyData(key, json.RawMessage(`{}`)) }, mapping{
			renamed:  map[string]string{"ID": "KeyId", "Hash": "KeyHash"},
			constant: map[string]string{"ApiModel": alwaysEmpty, "Data": "the session is another parameter"},
		}),
		mappingOf("toOAuthClient", toOAuthClient, mapping{
			renamed:  map[string]string{"ID": "ClientId", "RedirectURI": "RedirectUri", "PolicyID": "PolicyId"},
			ignored:  map[string]string{"APIID": "it is in the path of the request"},
			constant: map[string]string{"ClientName": alwaysEmpty, "DcrRegistration": alwaysEmpty},
		}),
		mappingOf("toGatewayOAuthClient", toGatewayOAuthClient, mapping{
			renamed:  map[string]string{"ClientId": "ID", "RedirectUri": "RedirectURI", "PolicyId": "PolicyID"},
			ignored:  map[string]string{"ApiId": "the API is that of the path", "ApiModel": alwaysEmpty, "ClientName": alwaysEmpty},
			constant: map[string]string{"APIID": "that of the path"},
		}),
		mappingOf("toOAuthClientTokens", func(token gateway.OAuthToken) dashboard.OAuthClientToken {
			return toOAuthClientTokens([]gateway.OAuthToken{token})[0]
		}, mapping{}),
		mappingOf("toCertificateAdded", toCertificateAdded, mapping{}),
		mappingOf("toKeys", func(keys struct{ IDs []string }) admin.Keys { return toKeys(keys.IDs) }, mapping{
			renamed:  map[string]string{"IDs": "Data"},
			constant: map[string]string{"Pages": onePage},
		}),
		mappingOf("toKeys, data", func(keys struct{ IDs []string }) admin.AllKeys { return *toKeys(keys.IDs).Data }, mapping{
			renamed: map[string]string{"IDs": "Keys"},
		}),
	}
}

func TestMappings(t *testing.T) {
	t.Parallel()
	for _, m := range mappings() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			m.check(t)
		})
	}
}

// conversionsWithoutMapping are conversions that have no mapping test, with the reason.
var conversionsWithoutMapping = map[string]string{
	"toKeyRequest":     "has the parameters of a path, which the tests of keys set",
	"toLocatedProblem": "has four values of one problem, which TestCheckFindsProblems compares",
	"toOrganisation":   "stores the document as a whole, and what it contains in columns",
}

// TestConversionsHaveMappingTests reads the code: each function that converts what a request or the store has, which is
// named toX, must be in this file. A field that it forgets would turn no other test red.
func TestConversionsHaveMappingTests(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "mapping_test.go", nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	tested := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if name, ok := n.(*ast.Ident); ok {
			tested[name.Name] = true
		}
		return true
	})
	conversions := map[string]bool{}
	eachDeclaration(t, ".", func(decl ast.Decl) {
		if function, ok := decl.(*ast.FuncDecl); ok && function.Recv == nil && isConversion.MatchString(function.Name.Name) {
			conversions[function.Name.Name] = true
		}
	})
	require.NotEmpty(t, conversions)
	for name := range conversions {
		if !tested[name] && conversionsWithoutMapping[name] == "" {
			t.Errorf("%s has no mapping test. Add it to mappings, or list in conversionsWithoutMapping why not.", name)
		}
	}
	for name := range conversionsWithoutMapping {
		require.Contains(t, conversions, name)
	}
}

var isConversion = regexp.MustCompile(`^to[A-Z]`)

// requestBodies are the schemas of request bodies that no function of mappings converts, with what becomes of their
// properties. Documents (nil) are stored as a whole.
var requestBodies = map[string]map[string]string{
	"ApiDefinitions": nil, "ImportDataStruct": nil, "OrganisationDocument": nil, "SessionState": nil,
	"UserGroupDocument": nil,
	"Asset":             nil, "Webhook": nil, "PortalConfiguration": nil, "PortalCatalogue": nil, "PortalPage": nil,
	"PortalDocumentation": nil, "PortalMenus": nil, "PortalCSS": nil, "PortalDeveloper": nil, "KeyRequest": nil,
	"PortalCNAME": {"cname": "UpdatePortalCNAME", "org_id": "UpdatePortalCNAME"},
	"API":         nil, "Policy": nil, "OASDocument": nil, "CategoriesPayload": nil,
	"UserPassword": {
		"api_model": alwaysEmpty, "new_password": "SetUserPassword", "current_password": "SetUserPassword",
		"user_permissions": "ignored, as the contract says",
	},
	"QuotaTrigger": {
		"org_id": "TriggerQuota", "trigger_limit": "TriggerQuota", "usage_percentage": "TriggerQuota",
		"key": "a secret: not logged", "OriginatingRequest": "always empty", "Message": "repeats trigger_limit",
	},
	"CertificateFile":             {"cert": "CreateCertificates", "file": "CreateCertificates"},
	"FormDataCreateDomainRequest": {"domain": "GeneratePortalAPIsForOrg"},
	"UserSearchPayload":           {"filters": "SearchUser"},
	"SessionRequest": {
		"email_address": "CreateSession", "password": "CreateSession", "org_id": "CreateSession", "nonce": "CreateSession",
	},
	"BootstrapForm": {
		"owner_name": "Bootstrap", "owner_slug": "Bootstrap", "first_name": "Bootstrap", "last_name": "Bootstrap",
		"email_address": "Bootstrap", "password": "Bootstrap", "confirm_password": "Bootstrap",
	},
}

// operationsOf calls do with each operation of each contract.
func operationsOf(t *testing.T, do func(*openapi3.Operation)) {
	t.Helper()
	for _, get := range []func() (*openapi3.T, error){admin.GetSpec, dashboard.GetSpec, node.GetSpec} {
		spec, err := get()
		require.NoError(t, err)
		for _, item := range spec.Paths.Map() {
			for _, op := range item.Operations() {
				do(op)
			}
		}
	}
}

// generatedTypes returns the names of the generated types that mappings convert. They are those of their schemas.
func generatedTypes() map[string]bool {
	names := map[string]bool{}
	for _, m := range mappings() {
		if strings.HasPrefix(m.source.PkgPath(), "gatehouse/gen/") {
			names[m.source.Name()] = true
		}
	}
	return names
}

func TestPropertiesOfRequestBodiesAreRead(t *testing.T) {
	t.Parallel()
	converted := generatedTypes()
	operationsOf(t, func(op *openapi3.Operation) {
		if op.RequestBody == nil {
			return
		}
		for mediaType, content := range op.RequestBody.Value.Content {
			if mediaType == "text/plain" { // has no properties
				continue
			}
			_, name, _ := strings.Cut(content.Schema.Ref, "schemas/")
			name = strings.TrimPrefix(name, "admin_") // of a schema of another contract
			uses, listed := requestBodies[name]
			if converted[name] {
				require.False(t, listed, "%s has a test in mappings: remove it from requestBodies", name)
				continue
			}
			if !listed {
				t.Errorf("%s: nothing tests that the handler reads the properties of its body, %s. Convert it in a function "+
					"toX with a test in mappings, or list its properties in requestBodies.", op.OperationID, name)
			}
			if uses == nil {
				continue
			}
			for property := range content.Schema.Value.Properties {
				if uses[property] == "" {
					t.Errorf("%s: no handler reads %s.%s. Read it, and list it in requestBodies.", op.OperationID, name, property)
				}
			}
			for property := range uses {
				require.Contains(t, content.Schema.Value.Properties, property, name)
			}
		}
	})
}

// unreadParams are query and header parameters that handlers need not read, with the reason.
var unreadParams = map[string]string{
	"DeleteOAuthTokens.Scope": "the contract allows one value", "RegisterNode.XTykNodeid": "a node has no ID before it registers",
	"GetKeyDetail.Username": namesAreFound, "UpdateKey.Username": namesAreFound, "DeleteKey.Username": namesAreFound,
	"GetApiKeyDetail.Username": namesAreFound, "UpdateApiKeyDetail.Username": namesAreFound,
	"DeleteApiKeyDetail.Username": namesAreFound,
	"PingNode.XTykHostname":       "known since the registration", "PingNode.XTykSessionId": "known since the registration",
	"RemoveNode.XTykHostname": "the ID is enough", "RemoveNode.XTykSessionId": "the ID is enough",
	"GetSystemStats.Resolution":  "the contract allows one value",
	"CreateSession.SecFetchSite": "net/http.CrossOriginProtection reads the header",
}

// inLink is why the parameters of versions are no options of an import.
const inLink = "the versionLink has it"

// TestParametersAreRead reads the code: each field of a handler's parameters must be used, in its body or in that of a
// function that it passes params to.
func TestParametersAreRead(t *testing.T) {
	t.Parallel()
	declared := map[string][]string{} // the fields by type: ListUsersParams
	for _, path := range []string{"../gen/admin", "../gen/dashboard", "../gen/node"} {
		eachDeclaration(t, path, func(decl ast.Decl) {
			maps.Copy(declared, paramFields(decl))
		})
	}
	require.NotEmpty(t, declared)
	handlers, read := map[string]bool{}, map[string]bool{} // by type, and by type and field
	eachDeclaration(t, ".", func(decl ast.Decl) {
		function, ok := decl.(*ast.FuncDecl)
		if !ok {
			return
		}
		handlers[function.Name.Name+"Params"] = true
		typeName := typeOfParams(function)
		ast.Inspect(function.Body, func(n ast.Node) bool {
			if selector, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := selector.X.(*ast.Ident); ok && x.Name == "params" {
					read[typeName+"."+selector.Sel.Name] = true
				}
			}
			return true
		})
	})
	for typeName, fields := range declared {
		handler := strings.TrimSuffix(typeName, "Params")
		require.True(t, handlers[typeName], "%s has no handler of its name", typeName)
		for _, field := range fields {
			key := handler + "." + field
			if !read[typeName+"."+field] && unreadParams[key] == "" {
				t.Errorf("%s does not read the parameter %s. Read it, or list in unreadParams why not.", handler, field)
			}
			if read[typeName+"."+field] {
				require.NotContains(t, unreadParams, key)
			}
		}
	}
}

// typeOfParams returns the name of the type of a function's parameter params, "" if it has none.
func typeOfParams(function *ast.FuncDecl) string {
	for _, field := range function.Type.Params.List {
		if selector, ok := field.Type.(*ast.SelectorExpr); ok && len(field.Names) == 1 && field.Names[0].Name == "params" {
			return selector.Sel.Name
		}
	}
	return ""
}

// eachDeclaration calls do with each declaration of the package in a directory, without its tests.
func eachDeclaration(t *testing.T, directory string, do func(ast.Decl)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(directory, "*.go"))
	require.NoError(t, err)
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			do(decl)
		}
	}
}

// paramFields returns the fields of a type whose name ends in Params, by its name.
func paramFields(decl ast.Decl) map[string][]string {
	types, ok := decl.(*ast.GenDecl)
	if !ok || types.Tok != token.TYPE {
		return nil
	}
	fields := map[string][]string{}
	for _, spec := range types.Specs {
		declared, _ := spec.(*ast.TypeSpec)
		if params, ok := declared.Type.(*ast.StructType); ok && strings.HasSuffix(declared.Name.Name, "Params") {
			for _, field := range params.Fields.List {
				fields[declared.Name.Name] = append(fields[declared.Name.Name], field.Names[0].Name)
			}
		}
	}
	return fields
}

// TestOrganisationDefaults states the bytes that the contract's defaults of an organisation become: the original's, in
// the original's order. Other fields follow.
func TestOrganisationDefaults(t *testing.T) {
	t.Parallel()
	known, err := LoadContract()
	require.NoError(t, err)
	fields, err := organisationFields(known)
	require.NoError(t, err)
	require.Len(t, fields, len(known.Operation("createOrg").Body.Schema.Properties), "every documented field")
	filled := jsondoc.Fill(json.RawMessage(`{}`), fields, jsondoc.Quote("53ac07777cbb8c2d53000002"))
	require.Regexp(t, "^"+regexp.QuoteMeta(`{"id":"53ac07777cbb8c2d53000002","owner_name":"","owner_slug":"","cname_enabled":false,"cname":"","apis":[],`+
		`"sso_enabled":false,"developer_quota":0,"developer_count":0,"event_options":{},"hybrid_enabled":false,`+
		`"ui":{"languages":{},"hide_help":false,"default_lang":"","login_page":{},"nav":{},"uptime":{},"portal_section":{},`+
		`"designer":{},"dont_show_admin_sockets":false,"dont_allow_license_management":false,`+
		`"dont_allow_license_management_view":false,"cloud":false,"dev":false},`+
		`"org_options_meta":{},"open_policy":{"rules":"","enabled":false},"additional_permissions":{}`)+"[,}]", string(filled))
}
