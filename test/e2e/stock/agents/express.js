// A web server by hand, as many are: its health check says "healthy".
import express from "express";

const app = express();
app.use(express.json());

app.get("/ping", (req, res) => {
  res.send("healthy");
});

app.post("/invocations", (req, res) => {
  res.json({ heard: req.body.prompt });
});

app.listen(8080, "0.0.0.0");
