import { oas } from '@stoplight/spectral-rulesets';

// The function of spectral:oas that validates examples. Rulesets in YAML cannot name it.
export default oas.rules['oas3-valid-media-example'].then.function;
