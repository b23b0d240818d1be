// Shows one of the contracts in Swagger UI. See docspage.go.
'use strict';

const isNode = new URLSearchParams(location.search).get('contract') === 'node';
const name = isNode ? '/openapi-node' : '/openapi';
const yaml = document.getElementById('yaml');
const basePath = yaml.getAttribute('href').slice(0, -'/openapi.yaml'.length); // the server may be below a path
const contract = basePath + name;

yaml.href = contract + '.yaml';
document.getElementById('json').href = contract + '.json';
document.querySelector(`[data-contract="${name}.json"]`).setAttribute('aria-current', 'page');

const dark = matchMedia('(prefers-color-scheme: dark)');
const setTheme = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', setTheme);
setTheme();

// Swagger UI's own filter compares tags and paths. This one finds operations by all that a reader may remember of them:
// every word has to occur in the method, the path, the summary, the operationId or the tag. Tags are closed at first,
// for there are more operations than a reader looks through: those of what is found are opened.
const search = (system) => ({
  fn: {
    opsFilter: (tags, phrase) => {
      const words = phrase.toLowerCase().split(/\s+/);
      const matches = (tag, op) => {
        const about = [tag, op.get('method'), op.get('path'), op.getIn(['operation', 'summary']),
          op.getIn(['operation', 'operationId'])].join(' ').toLowerCase();
        return words.every((word) => about.includes(word));
      };
      const found = tags
        .map((tag, name) => tag.update('operations', (all) => all.filter((op) => matches(name, op))))
        .filter((tag) => tag.get('operations').size > 0);
      setTimeout(() => found.forEach((_, name) => system.layoutActions.show(['operations-tag', name], true)));
      return found;
    },
  },
});

// Swagger UI sends the example of a parameter unless the reader erases it. For a filter that is optional, the example
// moves to the description.
const withoutFilters = (spec) => {
  const operations = Object.values(spec.paths).flatMap(Object.values);
  const parameters = [...Object.values(spec.components.parameters), ...operations.flatMap((op) => op.parameters ?? [])];
  for (const parameter of parameters) {
    if (parameter.in === 'query' && !parameter.required && 'example' in parameter) {
      parameter.description += ` Example: \`${parameter.example}\`.`;
      delete parameter.example;
    }
  }
  return spec;
};
const examples = () => ({
  statePlugins: { spec: { wrapActions: { updateJsonSpec: (update) => (spec) => update(withoutFilters(spec)) } } },
});

SwaggerUIBundle({
  url: contract + '.json',
  dom_id: '#docs',
  plugins: [search, examples],
  filter: true,
  deepLinking: true,
  docExpansion: 'none',
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null, // the default sends the contract to another server
});
