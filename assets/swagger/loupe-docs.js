// Shows the schema that lies beside this page. No validator badge: it would ask another host.
if (matchMedia('(prefers-color-scheme: dark)').matches) document.documentElement.classList.add('dark-mode');
window.ui = SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#api-docs',
  validatorUrl: null,
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  requestSnippetsEnabled: true,
  tryItOutEnabled: true,
  onComplete: () => { document.body.dataset.ready = 'true'; },
});
