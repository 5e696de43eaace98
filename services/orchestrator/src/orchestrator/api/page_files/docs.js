// /docs: the API's own description, shown by Swagger UI. validatorUrl would send it to another host.
window.SwaggerUIBundle({ url: "/openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null });
