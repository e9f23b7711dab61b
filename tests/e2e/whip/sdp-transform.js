// The package, which is made for Node's require, as a module of a browser.
const FILES = ["index", "grammar", "parser", "writer"];
const at = (name) => `/node_modules/sdp-transform/lib/${name}.js`;
const sources = await Promise.all(FILES.map(async (name) => [name, await (await fetch(at(name))).text()]));
const loaded = {};

function load(path) {
  const name = path.replace("./", "");
  if (!loaded[name]) {
    const module = { exports: (loaded[name] = {}) };
    new Function("module", "exports", "require", Object.fromEntries(sources)[name])(module, module.exports, load);
    loaded[name] = module.exports;
  }
  return loaded[name];
}

export const { parse, write } = load("./index");
