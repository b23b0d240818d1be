package cli

import (
	"fmt"
	"os"

	"gatehouse/internal/config"
	"gatehouse/internal/password"
	"gatehouse/server"
)

// securityOf returns what users may do as a server gets it. It reads the rules for passwords from their file.
func securityOf(cfg config.Security) (server.Security, error) {
	security := server.Security{
		AdminsResetPasswords: cfg.AllowAdminResetPassword, HideAccessKeys: cfg.ForbidAdminViewAccessToken,
		OwnKeysOnly: cfg.ForbidAdminResetAccessKey, Bootstrap: cfg.Bootstrap, PasswordHistory: cfg.PasswordHistory,
		LoginFailures: server.LoginFailures{
			PerUser: cfg.LoginFailureUsernameLimit, PerAddress: cfg.LoginFailureIPLimit, Window: cfg.LoginFailureWindow(),
			Hide: cfg.HideLoginFailureLimit,
		},
	}
	if cfg.PasswordSchema == "" {
		return security, nil
	}
	schema, err := os.ReadFile(cfg.PasswordSchema)
	if err != nil {
		return security, fmt.Errorf("--password-schema (GATEHOUSE_PASSWORD_SCHEMA): %w", err)
	}
	if security.Passwords, err = password.ParsePolicy(schema); err != nil {
		return security, fmt.Errorf("--password-schema (GATEHOUSE_PASSWORD_SCHEMA): %s: %w", cfg.PasswordSchema, err)
	}
	return security, nil
}
