package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// settingNames matches the environment variables that are meant for gatehouse or for Tyk Dashboard.
var settingNames = regexp.MustCompile(`^(TYK_DB|GATEHOUSE)_`)

// otherNames matches variables that are no settings: those that Kubernetes sets for a service named gatehouse, and
// those of the installer and of the tests.
var otherNames = regexp.MustCompile(`^GATEHOUSE_((SERVICE|PORT|TEST)(_.*)?|VERSION|NO_SUDO)$`)

// refusal is a setting of Tyk Dashboard that gatehouse does not have, and whose absence its operator would not expect:
// what it protects would be open.
type refusal struct {
	variable string
	// applies reports whether the value, which is not empty, asks for the protection.
	applies func(value string) bool
	// unless is the flag of a setting that, if it is set, takes the place of this one; "" if there is none.
	unless string
	reason string
}

// refusals are from the configuration reference of Tyk Dashboard 5.14. What is not listed here changes its user
// interface, analytics or portal, or makes gatehouse stricter than asked for.
var refusals = []refusal{
	{
		variable: "TYK_DB_MONGOURL", applies: isAny, unless: "database-url",
		reason: "gatehouse stores its data in Postgres only: set DATABASE_URL",
	},
	{
		variable: "TYK_DB_STORAGE_MAIN_READCONNECTIONSTRING", applies: isAny, unless: "database-url",
		reason: "gatehouse has one connection string for reads and writes: set TYK_DB_STORAGE_MAIN_CONNECTIONSTRING",
	},
	{
		variable: "TYK_DB_STORAGE_MAIN_WRITECONNECTIONSTRING", applies: isAny, unless: "database-url",
		reason: "gatehouse has one connection string for reads and writes: set TYK_DB_STORAGE_MAIN_CONNECTIONSTRING",
	},
	{
		variable: "TYK_DB_SECURITY_OPENPOLICY_ENABLED", applies: isTrue,
		reason: "gatehouse does not evaluate OPA rules: what they deny would be allowed",
	},
	{
		variable: "TYK_DB_PRIVATEKEYPATH", applies: isAny,
		reason: "gatehouse signs notices to gateways with the node secret, not with a private key",
	},
}

func isAny(string) bool { return true }

func isTrue(value string) bool {
	var b boolean
	return b.Set(value) != nil || bool(b) // a value that is neither true nor false may be meant as true
}

// Unused are the names of what is meant as a setting, but sets none: it is misspelt, or sets what Tyk Dashboard has and
// gatehouse lacks.
type Unused struct {
	// Variables are environment variables.
	Variables []string
	// Members are members of the settings file: an object of which nothing is a setting, or a single one.
	Members []string
}

// Unused returns what of environ, which is as that of os.Environ, and of file, which may be nil, sets none of s. It
// returns an error if ignoring it would leave something open that its operator expects to be protected. Call it after
// all sources are loaded.
func (s Settings) Unused(environ []string, file *SettingsFile) (Unused, error) {
	known := s.known()
	unused, problems := known.ofEnvironment(environ)
	if file != nil {
		var ofFile []error
		unused.Members, ofFile = known.ofFile(file)
		problems = append(problems, ofFile...)
	}
	return unused, errors.Join(problems...)
}

// knownSettings are what the names of variables and of members are compared with.
type knownSettings struct {
	variables, keys map[string]bool
	isSet           map[string]bool // by flag
}

func (s Settings) known() knownSettings {
	known := knownSettings{variables: map[string]bool{}, keys: map[string]bool{}, isSet: map[string]bool{}}
	for _, setting := range s {
		known.isSet[setting.Flag.Name] = setting.Flag.Changed
		for _, variable := range setting.Variables {
			known.variables[variable] = true
			known.keys[keyOfVariable(variable)] = true
		}
	}
	delete(known.keys, "") // of variables that no member stands for
	delete(known.keys, keyOfVariable("GATEHOUSE_CONF"))
	return known
}

func (k knownSettings) ofEnvironment(environ []string) (unused Unused, problems []error) {
	for _, each := range environ {
		variable, value, _ := strings.Cut(each, "=")
		if value == "" || k.variables[variable] || !settingNames.MatchString(variable) || otherNames.MatchString(variable) {
			continue
		}
		ignored, err := k.judge(variable, variable, value)
		if err != nil {
			problems = append(problems, err)
		}
		if ignored {
			unused.Variables = append(unused.Variables, variable)
		}
	}
	slices.Sort(unused.Variables)
	return unused, problems
}

func (k knownSettings) ofFile(file *SettingsFile) (unused []string, problems []error) {
	for _, m := range file.members {
		key := keyOfMember(m.name)
		if m.value == "" || m.value == "false" || k.keys[key] {
			continue
		}
		ignored, err := k.judge(dashboardPrefix+key, file.place(m), m.value)
		if err != nil {
			problems = append(problems, err)
		}
		if ignored {
			unused = append(unused, k.section(m.name))
		}
	}
	slices.Sort(unused)
	return slices.Compact(unused), problems
}

// judge reports whether a value that sets nothing is ignored, or returns an error if its absence would leave something
// open. place is where the value is.
func (k knownSettings) judge(variable, place, value string) (ignored bool, err error) {
	i := slices.IndexFunc(refusals, func(r refusal) bool { return keyOfVariable(r.variable) == keyOfVariable(variable) })
	switch {
	case i >= 0 && !refusals[i].applies(value): // it asks for what gatehouse does
		return false, nil
	case i >= 0 && !k.isSet[refusals[i].unless]:
		return false, fmt.Errorf("%s is not supported: %s", place, refusals[i].reason)
	}
	return true, nil
}

// section returns the outermost object around a member in which nothing is a setting, or the member.
func (k knownSettings) section(name string) string {
	for i, c := range name {
		if c == '.' && !k.begins(keyOfMember(name[:i])) {
			return name[:i]
		}
	}
	return name
}

// begins reports whether the key of a setting, or of one that is refused, begins so.
func (k knownSettings) begins(key string) bool {
	for known := range k.keys {
		if strings.HasPrefix(known, key) {
			return true
		}
	}
	return slices.ContainsFunc(refusals, func(r refusal) bool { return strings.HasPrefix(keyOfVariable(r.variable), key) })
}
