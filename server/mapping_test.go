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

	"gatehouse/contract"
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
	case reflect.Int:
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
)

func TestUserMapping(t *testing.T) {
	t.Parallel()
	checkMapping(t, toUserParams, mapping{
		ignored: map[string]string{
			"Password": "is hashed: userRequest returns it", "ApiModel": alwaysEmpty, "PWHistory": alwaysEmpty, "Id": readOnly,
			"CreatedAt": readOnly, "LastLoginDate": readOnly, "PasswordUpdated": readOnly,
		},
		constant: map[string]string{"PasswordHash": "UpdateUser hashes the password"},
	})
	checkMapping(t, toUser, mapping{constant: map[string]string{"ApiModel": alwaysEmpty, "PWHistory": alwaysEmpty}})
}

func TestSignOnMapping(t *testing.T) {
	t.Parallel()
	convert := func(sent admin.SSOAccessData) store.SignOn {
		on, err := toSignOn(sent)
		require.NoError(t, err)
		return on
	}
	checkMapping(t, convert, mapping{renamed: map[string]string{
		"EmailAddress": "Email", "SSOOnlyForRegisteredUsers": "RegisteredOnly", "ForSection": "Document", "DisplayName": "Document",
		"GroupID": "Document", "GroupsIDs": "Document", "UserNotAllowed": "Document",
	}})
	// Redeeming the nonce returns the document, with every field of the request.
	document := func(sent admin.SSOAccessData) (returned admin.SSOAccessData) {
		require.NoError(t, json.Unmarshal(convert(sent).Document, &returned))
		return returned
	}
	checkMapping(t, document, mapping{})
}

func TestNodeMapping(t *testing.T) {
	t.Parallel()
	checkMapping(t, toNode, mapping{})
}

func TestKeyMapping(t *testing.T) {
	t.Parallel()
	checkMapping(t, toOrgKeyData, mapping{
		renamed:  map[string]string{"OrgID": "KeyId", "Session": "Data"},
		constant: map[string]string{"ApiModel": alwaysEmpty, "KeyHash": "gateways do not hash the keys of organisations"},
	})
	convert := func(key gateway.Key) admin.KeyData { return toKeyData(key, json.RawMessage(`{}`)) }
	checkMapping(t, convert, mapping{
		renamed:  map[string]string{"ID": "KeyId", "Hash": "KeyHash"},
		constant: map[string]string{"ApiModel": alwaysEmpty, "Data": "the session is another parameter"},
	})
}

// conversionsWithoutMapping are conversions that have no mapping test, with the reason.
var conversionsWithoutMapping = map[string]string{
	"toOrganisation": "stores the document as a whole, and what it contains in columns",
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
			t.Errorf("%s has no mapping test. Call checkMapping for it, or list in conversionsWithoutMapping why not.", name)
		}
	}
	for name := range conversionsWithoutMapping {
		require.Contains(t, conversions, name)
	}
}

var isConversion = regexp.MustCompile(`^to[A-Z]`)

// requestBodies are the schemas of request bodies, with what becomes of their properties. Documents are stored as a
// whole. Other schemas have a mapping test, or a list of all properties with their use.
var requestBodies = map[string]map[string]string{
	"ApiDefinitions": nil, "ImportDataStruct": nil, "OrganisationDocument": nil, "SessionState": nil, // documents
	"UserRequest": nil, "SSOAccessData": nil, // mapping tests above
	"UserPassword": {
		"api_model": alwaysEmpty, "new_password": "SetUserPassword", "current_password": "SetUserPassword",
		"user_permissions": "ignored, as the contract says",
	},
	"QuotaTrigger": {
		"org_id": "TriggerQuota", "trigger_limit": "TriggerQuota", "usage_percentage": "TriggerQuota",
		"key": "a secret: not logged", "OriginatingRequest": "always empty", "Message": "repeats trigger_limit",
	},
	"FormDataCreateDomainRequest": {"domain": "GeneratePortalAPIsForOrg"},
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

func TestPropertiesOfRequestBodiesAreRead(t *testing.T) {
	t.Parallel()
	operationsOf(t, func(op *openapi3.Operation) {
		if op.RequestBody == nil {
			return
		}
		for _, content := range op.RequestBody.Value.Content {
			_, name, _ := strings.Cut(content.Schema.Ref, "schemas/")
			name = strings.TrimPrefix(name, "admin_") // of a schema of another contract
			uses, listed := requestBodies[name]
			if !listed {
				t.Errorf("%s: the schema %q of its body is not in requestBodies. Add a mapping test, or list its properties.",
					op.OperationID, name)
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
	"PingNode.XTykHostname": "known since the registration", "PingNode.XTykSessionId": "known since the registration",
	"RemoveNode.XTykHostname": "the ID is enough", "RemoveNode.XTykSessionId": "the ID is enough",
}

// TestParametersAreRead reads the code: each field of a handler's parameters must be used in its body.
func TestParametersAreRead(t *testing.T) {
	t.Parallel()
	declared := map[string][]string{} // the fields by type: ListUsersParams
	for _, path := range []string{"../gen/admin", "../gen/dashboard", "../gen/node"} {
		eachDeclaration(t, path, func(decl ast.Decl) {
			maps.Copy(declared, paramFields(decl))
		})
	}
	require.NotEmpty(t, declared)
	handlers := 0
	eachDeclaration(t, ".", func(decl ast.Decl) {
		handler, ok := decl.(*ast.FuncDecl)
		if !ok || declared[handler.Name.Name+"Params"] == nil {
			return
		}
		handlers++
		read := map[string]bool{}
		ast.Inspect(handler.Body, func(n ast.Node) bool {
			if selector, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := selector.X.(*ast.Ident); ok && x.Name == "params" {
					read[selector.Sel.Name] = true
				}
			}
			return true
		})
		for _, field := range declared[handler.Name.Name+"Params"] {
			key := handler.Name.Name + "." + field
			if !read[field] && unreadParams[key] == "" {
				t.Errorf("%s does not read the parameter %s. Read it, or list in unreadParams why not.", handler.Name.Name, field)
			}
			if read[field] {
				require.NotContains(t, unreadParams, key)
			}
		}
	})
	require.Len(t, declared, handlers, "each type of parameters has a handler of its name")
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

// TestOrganisationFieldsAreTheContracts compares the defaults of an organisation with the contract's schema of it.
func TestOrganisationFieldsAreTheContracts(t *testing.T) {
	t.Parallel()
	known, err := LoadContract()
	require.NoError(t, err)
	schema := known.Operation("createOrg").Body.Schema
	require.ElementsMatch(t, slices.Collect(maps.Keys(schema.Properties)), names(organisationFields),
		"organisationFields in organisations.go must have the properties of the contract's OrganisationDocument")
	for _, field := range organisationFields {
		property := schema.Properties[field.Name].Value
		var value any
		require.NoError(t, json.Unmarshal(field.Value, &value))
		require.Empty(t, contract.CheckValue(property, value), "the default of %s does not match the contract", field.Name)
		for _, member := range jsondoc.Members(field.Value) { // the original's default of ui lacks a few
			require.Contains(t, property.Properties, member.Name, "the default of %s", field.Name)
		}
	}
}

func names(members []jsondoc.Member) (names []string) {
	for _, m := range members {
		names = append(names, m.Name)
	}
	return names
}
