package config

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// This file binds structs to flags and to other sources of settings. koanf, viper and their like merge maps of values
// and then decode them into a struct. They make no flags of a struct, allow one environment variable for a setting, and
// forget where a value came from, so that most of this file would be needed beside them. pflag parses all values.

// Setting is a field of a struct with its flag and the environment variables that set it.
type Setting struct {
	Flag *pflag.Flag
	// Group is the heading of the flag in help texts.
	Group string
	// Help describes the setting. The usage text of Flag has the variables as well.
	Help string
	// Default is the default as text, or "" if that is the zero value or depends on the machine.
	Default string
	// Variables are names of environment variables. The first that is set counts.
	Variables []string
	source    string
	// place is the variable or the member of a file that has set the setting; "" if none has.
	place string
	// precedence is the number of the Load that set the setting; flags are set by none.
	precedence int
	// contentOf is the setting whose value is the content of the file that this setting names; nil for others.
	contentOf *Setting
	// filled reports whether the value is the content of a file.
	filled bool
}

// Settings are the settings of a struct in the order of its fields.
type Settings []*Setting

// groupAnnotation is the key of a flag's annotation with the group of its setting.
const groupAnnotation = "group"

// GroupOf returns the group of a flag, or "" for a flag that Bind did not make.
func GroupOf(flag *pflag.Flag) string { return strings.Join(flag.Annotations[groupAnnotation], "") }

// Bind adds a flag to flags for each field of the struct that target points to, and sets the fields to their defaults.
// The tags of a field are flag (its name), env (names of variables, separated by commas), default and help. A field
// that is a struct has the tag group. Bind panics for a tag or a type that it cannot use.
//
// A Secret has a second flag and second variables, for a file that contains it: --admin-secret-file,
// TYK_DB_ADMINSECRET_FILE. ReadFiles reads these files.
func Bind(flags *pflag.FlagSet, target any) Settings {
	flags.SortFlags = false
	all := bindStruct(flags, reflect.ValueOf(target).Elem(), "")
	if cfg, ok := target.(*Config); ok {
		cfg.settings = all
	}
	return all
}

func bindStruct(flags *pflag.FlagSet, target reflect.Value, group string) (all Settings) {
	for field, value := range target.Fields() {
		if !field.IsExported() {
			continue
		}
		name, isFlag := field.Tag.Lookup("flag")
		if !isFlag {
			all = append(all, bindStruct(flags, value, field.Tag.Get("group"))...)
			continue
		}
		setting := &Setting{Group: group, Help: field.Tag.Get("help")}
		if names := field.Tag.Get("env"); names != "" {
			setting.Variables = strings.Split(names, ",")
		}
		usage := usageText(setting)
		if list, isList := reflect.TypeAssert[*[]string](value.Addr()); isList && setting.Variables == nil {
			flags.StringArrayVar(list, name, nil, usage)
		} else {
			define(flags, value.Addr().Interface(), name, usage)
		}
		setting.Flag = flags.Lookup(name)
		setting.Flag.Annotations = map[string][]string{groupAnnotation: {group}}
		if def := field.Tag.Get("default"); def != "" {
			if err := setting.Flag.Value.Set(def); err != nil {
				panic(fmt.Sprintf("default of --%s: %v", name, err))
			}
			setting.Flag.DefValue, setting.Default = def, def
		}
		all = append(all, setting)
		if value.Type() == reflect.TypeFor[Secret]() {
			all = append(all, bindFile(flags, setting))
		}
	}
	return all
}

// bindFile adds the flag for a file that contains a secret.
func bindFile(flags *pflag.FlagSet, secret *Setting) *Setting {
	file := &Setting{
		Group: secret.Group, contentOf: secret,
		Help: "File that contains the value of --" + secret.Flag.Name + ". It is read again on SIGHUP.",
	}
	for _, variable := range secret.Variables {
		file.Variables = append(file.Variables, variable+"_FILE")
	}
	name := secret.Flag.Name + "-file"
	flags.String(name, "", usageText(file))
	file.Flag = flags.Lookup(name)
	file.Flag.Annotations = map[string][]string{groupAnnotation: {file.Group}}
	return file
}

// usageText returns the help of a setting with its variables.
func usageText(s *Setting) string {
	if s.Variables == nil {
		return s.Help
	}
	return s.Help + " [$" + strings.Join(s.Variables, ", $") + "]"
}

// define adds the flag that sets *target.
func define(flags *pflag.FlagSet, target any, name, usage string) {
	switch target := target.(type) {
	case *string:
		flags.StringVar(target, name, "", usage)
	case *[]string:
		flags.StringSliceVar(target, name, nil, usage)
	case *int:
		flags.IntVar(target, name, 0, usage)
	case *int64:
		flags.Int64Var(target, name, 0, usage)
	case *uint16:
		flags.Uint16Var(target, name, 0, usage)
	case *uint64:
		flags.Uint64Var(target, name, 0, usage)
	case *float64:
		flags.Float64Var(target, name, 0, usage)
	case *time.Duration:
		flags.DurationVar(target, name, 0, usage)
	case *bool:
		flags.VarPF((*boolean)(target), name, "", usage).NoOptDefVal = "true"
	case pflag.Value:
		flags.Var(target, name, usage)
	default:
		panic(fmt.Sprintf("--%s: there are no flags of type %T", name, target))
	}
}

// Load sets what is not set yet from a source of values by name of environment variable, such as os.LookupEnv. A
// variable that is empty is not set. Sources are loaded in the order of their precedence. source is what Source returns
// for a setting that was set by this call.
func (s Settings) Load(source string, lookup func(variable string) (string, bool)) error {
	return s.load(source, func(variable string) (value, place string) {
		value, _ = lookup(variable)
		return value, variable
	})
}

// load is Load with the places of values, for messages.
func (s Settings) load(source string, lookup func(variable string) (value, place string)) error {
	var problems []error
	precedence := 1
	for _, setting := range s {
		precedence = max(precedence, setting.precedence+1)
	}
	for _, setting := range s {
		for _, variable := range setting.Variables {
			value, place := lookup(variable)
			if value == "" || setting.Flag.Changed {
				continue
			}
			if err := setting.Flag.Value.Set(value); err != nil {
				problems = append(problems, fmt.Errorf("--%s (%s): invalid value %q: %w", setting.Flag.Name, place, value, err))
			}
			setting.Flag.Changed, setting.source, setting.place, setting.precedence = true, source, place, precedence
		}
	}
	return errors.Join(problems...)
}

// ReadFiles sets secrets to the content of their files. A file has the precedence of the setting that names it; it is
// an error if the same source sets both the secret and its file. After an error, no secret has changed. ReadFiles may
// be called again, to read what the files contain by then.
func (s Settings) ReadFiles() error {
	var problems []error
	contents := map[*Setting]string{}
	for _, file := range s {
		secret := file.contentOf
		if secret == nil || !file.Flag.Changed {
			continue
		}
		isSet := secret.Flag.Changed && !secret.filled
		switch {
		case isSet && secret.precedence == file.precedence:
			problems = append(problems, fmt.Errorf("--%s and --%s (%s) are both set", secret.Flag.Name, file.Flag.Name,
				strings.Join(file.Variables, ", ")))
			continue
		case isSet && secret.precedence < file.precedence:
			continue
		}
		content, err := readSecretFile(file.Flag.Value.String())
		if err != nil {
			problems = append(problems, fmt.Errorf("--%s (%s): %w", file.Flag.Name, strings.Join(file.Variables, ", "), err))
			continue
		}
		contents[file] = content
	}
	if problems != nil {
		return errors.Join(problems...)
	}
	for file, content := range contents {
		secret := file.contentOf
		if err := secret.Flag.Value.Set(content); err != nil {
			return err // a Secret accepts every text
		}
		secret.Flag.Changed, secret.source, secret.place, secret.filled = true, file.Source(), file.place, true
	}
	return nil
}

// FilledSecret is a secret whose value is the content of a file.
type FilledSecret struct {
	// Name is the name of its flag, and Path that of the file.
	Name, Path string
}

// FilledSecrets returns the secrets that ReadFiles has read.
func (s Settings) FilledSecrets() (filled []FilledSecret) {
	for _, file := range s {
		if file.contentOf != nil && file.contentOf.filled {
			filled = append(filled, FilledSecret{file.contentOf.Flag.Name, file.Flag.Value.String()})
		}
	}
	return filled
}

// SecretsFrom returns the names of the secrets that a source has set itself.
func (s Settings) SecretsFrom(source string) (names []string) {
	for _, setting := range s {
		if _, isSecret := setting.Flag.Value.(*Secret); isSecret && !setting.filled && setting.Source() == source {
			names = append(names, setting.Flag.Name)
		}
	}
	return names
}

// Source returns where the value of the setting comes from: "flag", a source that was loaded, or "default".
func (s *Setting) Source() string {
	switch {
	case s.source != "":
		return s.source
	case s.Flag.Changed:
		return "flag"
	}
	return "default"
}

// Place returns the environment variable, or the member of the settings file, that has set the setting; "" if it is set
// by its flag, or not at all.
func (s *Setting) Place() string { return s.place }

// userInfo matches user and password in a URL.
var userInfo = regexp.MustCompile(`//[^/@\s]*@`)

// Value returns the value as text, without secrets.
func (s *Setting) Value() string {
	text := s.Flag.Value.String()
	if list, ok := s.Flag.Value.(pflag.SliceValue); ok {
		text = strings.Join(list.GetSlice(), ",")
	}
	return userInfo.ReplaceAllString(text, "//"+redacted+"@")
}

// name returns how messages name the setting: its flag, and where its value comes from or may come from.
func (s *Setting) name() string {
	return fmt.Sprintf("--%s (%s)", s.Flag.Name, cmp.Or(s.place, s.Variables[0]))
}
